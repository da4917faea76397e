import importlib
import pkgutil

import swarmworks
from swarmworks.base.errors import InvalidDocumentError, Problem, SwarmworksError, by_code


def everything():
    """Every module of the product, so that every class of error is known."""
    for module in pkgutil.walk_packages(swarmworks.__path__, "swarmworks."):
        if not module.name.endswith(".__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)


def test_every_class_has_a_code_of_its_own():
    everything()

    def walk(cls):
        yield cls
        for sub in cls.__subclasses__():
            yield from walk(sub)

    ours = [cls for cls in walk(SwarmworksError) if cls.__module__.startswith("swarmworks.")]  # tests have some, too
    assert len({cls.code for cls in ours}) == len(ours)
    assert {cls.code for cls in ours} <= set(by_code())


def test_a_document_reports_all_problems_in_line_order():
    error = InvalidDocumentError("spec.yaml", [Problem(9, "late"), Problem(2, "early", mend="fix it")])
    assert str(error) == "spec.yaml:2: early\n  mend: fix it\nspec.yaml:9: late"

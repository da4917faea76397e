from swarmworks.policy.tiers import Candidate, ModelBook, asked_for

BOOK = ModelBook(
    {"frontier": ("anthropic:opus", "openai:gpt", "google:gemini"), "fast": ("google:flash",)},
    {"anthropic": "anthropic", "openai": "openai", "google": "google"},
)
BOTH = frozenset({"openai", "anthropic"})


def test_a_tier_is_its_chain_and_anything_else_itself():
    assert BOOK.chain("frontier") == ("anthropic:opus", "openai:gpt", "google:gemini")
    assert BOOK.chain("mid") == ("mid",)
    assert BOOK.chain("openai:gpt") == ("openai:gpt",)


def test_a_session_begins_with_the_first_model_that_is_available_and_that_its_program_speaks_with():
    assert BOOK.first("frontier", BOTH, lambda _model: True) == Candidate("anthropic:opus", "anthropic")
    assert BOOK.first("frontier", BOTH, lambda model: model != "anthropic:opus") == Candidate("openai:gpt", "openai")
    assert BOOK.first("frontier", {"anthropic"}, lambda model: model != "anthropic:opus") is None
    assert BOOK.first("fast", BOTH, lambda _model: True) is None


def test_the_rehearsal_model_speaks_whatever_is_spoken():
    assert ModelBook().first("rehearsal:rehearsal", BOTH, lambda _model: True).wire == "openai"
    assert ModelBook().first("rehearsal:rehearsal", {"anthropic"}, lambda _model: True).wire == "anthropic"


def test_a_kind_goes_before_a_role_and_both_before_the_default():
    kinds = {"plan": "frontier", "coder": "fast"}
    assert asked_for("mid", kinds, kind="plan", role="coder") == "frontier"
    assert asked_for("mid", kinds, kind="code", role="coder") == "fast"
    assert asked_for("mid", kinds, kind="code", role="tester") == "mid"

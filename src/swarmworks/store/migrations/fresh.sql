CREATE TABLE account (
	id TEXT NOT NULL, 
	parent_id TEXT, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	state TEXT NOT NULL, 
	closing BOOLEAN DEFAULT false NOT NULL, 
	version BIGINT DEFAULT '0' NOT NULL, 
	limit_nano_usd BIGINT, 
	cap_nano_usd BIGINT, 
	spent_nano_usd BIGINT DEFAULT '0' NOT NULL, 
	held_nano_usd BIGINT DEFAULT '0' NOT NULL, 
	allocated_nano_usd BIGINT DEFAULT '0' NOT NULL, 
	overrun_nano_usd BIGINT DEFAULT '0' NOT NULL, 
	limit_tokens BIGINT, 
	cap_tokens BIGINT, 
	spent_tokens BIGINT DEFAULT '0' NOT NULL, 
	held_tokens BIGINT DEFAULT '0' NOT NULL, 
	allocated_tokens BIGINT DEFAULT '0' NOT NULL, 
	overrun_tokens BIGINT DEFAULT '0' NOT NULL, 
	limit_calls BIGINT, 
	cap_calls BIGINT, 
	spent_calls BIGINT DEFAULT '0' NOT NULL, 
	held_calls BIGINT DEFAULT '0' NOT NULL, 
	allocated_calls BIGINT DEFAULT '0' NOT NULL, 
	overrun_calls BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_account PRIMARY KEY (id), 
	CONSTRAINT ck_account_not_negative_nano_usd CHECK (spent_nano_usd >= 0 AND held_nano_usd >= 0 AND allocated_nano_usd >= 0 AND overrun_nano_usd >= 0), 
	CONSTRAINT ck_account_within_nano_usd CHECK (limit_nano_usd IS NULL OR spent_nano_usd + held_nano_usd + allocated_nano_usd <= limit_nano_usd + overrun_nano_usd), 
	CONSTRAINT ck_account_overrun_nano_usd CHECK (overrun_nano_usd = 0 OR state <> 'open'), 
	CONSTRAINT ck_account_not_negative_tokens CHECK (spent_tokens >= 0 AND held_tokens >= 0 AND allocated_tokens >= 0 AND overrun_tokens >= 0), 
	CONSTRAINT ck_account_within_tokens CHECK (limit_tokens IS NULL OR spent_tokens + held_tokens + allocated_tokens <= limit_tokens + overrun_tokens), 
	CONSTRAINT ck_account_overrun_tokens CHECK (overrun_tokens = 0 OR state <> 'open'), 
	CONSTRAINT ck_account_not_negative_calls CHECK (spent_calls >= 0 AND held_calls >= 0 AND allocated_calls >= 0 AND overrun_calls >= 0), 
	CONSTRAINT ck_account_within_calls CHECK (limit_calls IS NULL OR spent_calls + held_calls + allocated_calls <= limit_calls + overrun_calls), 
	CONSTRAINT ck_account_overrun_calls CHECK (overrun_calls = 0 OR state <> 'open'), 
	CONSTRAINT ck_account_kind CHECK (kind IN ('project', 'swarm', 'task', 'session', 'agent', 'day', 'month')), 
	CONSTRAINT ck_account_state CHECK (state IN ('open', 'frozen', 'closed')), 
	CONSTRAINT fk_account_parent_id FOREIGN KEY(parent_id) REFERENCES account (id), 
	CONSTRAINT uq_account_kind_subject UNIQUE (kind, subject)
);
CREATE TABLE agent (
	id TEXT NOT NULL, 
	project TEXT NOT NULL, 
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	kinds TEXT NOT NULL, 
	active BOOLEAN NOT NULL, 
	CONSTRAINT pk_agent PRIMARY KEY (id), 
	CONSTRAINT uq_agent_project_name UNIQUE (project, name)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0012');
CREATE TABLE anchor (
	number BIGINT NOT NULL, 
	statement TEXT NOT NULL, 
	signature TEXT NOT NULL, 
	CONSTRAINT pk_anchor PRIMARY KEY (number)
);
CREATE TABLE anchored (
	swarm_id TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	CONSTRAINT pk_anchored PRIMARY KEY (swarm_id), 
	CONSTRAINT fk_anchored_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE archive (
	swarm_id TEXT NOT NULL, 
	last_seq BIGINT NOT NULL, 
	first_seq BIGINT NOT NULL, 
	last_hash TEXT NOT NULL, 
	file TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	archived_at TEXT NOT NULL, 
	CONSTRAINT pk_archive PRIMARY KEY (swarm_id, last_seq), 
	CONSTRAINT fk_archive_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE blob (
	"key" TEXT NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_blob PRIMARY KEY ("key")
);
CREATE TABLE budget_window (
	project TEXT NOT NULL, 
	period TEXT NOT NULL, 
	zone TEXT NOT NULL, 
	limit_nano_usd BIGINT, 
	limit_tokens BIGINT, 
	limit_calls BIGINT, 
	newest TEXT, 
	account_id TEXT, 
	CONSTRAINT pk_budget_window PRIMARY KEY (project, period), 
	CONSTRAINT ck_budget_window_period CHECK (period IN ('day', 'month')), 
	CONSTRAINT ck_budget_window_begun_has_a_name CHECK (account_id IS NULL OR newest IS NOT NULL), 
	CONSTRAINT fk_budget_window_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE change (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	base TEXT NOT NULL, 
	head TEXT NOT NULL, 
	handoff TEXT NOT NULL, 
	submitted_at TEXT NOT NULL, 
	candidate TEXT, 
	landed TEXT, 
	CONSTRAINT pk_change PRIMARY KEY (number), 
	CONSTRAINT ck_change_state CHECK (state IN ('submitted', 'approved', 'building', 'landed', 'proved', 'rejected', 'parked', 'superseded')), 
	CONSTRAINT fk_change_agent_id FOREIGN KEY(agent_id) REFERENCES agent (id), 
	CONSTRAINT fk_change_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT fk_change_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_change_id UNIQUE (id), 
	CONSTRAINT uq_change_session_id UNIQUE (session_id)
);
CREATE TABLE chore (
	subject TEXT NOT NULL, 
	replica_id TEXT NOT NULL, 
	CONSTRAINT pk_chore PRIMARY KEY (subject)
);
CREATE TABLE counter (
	name TEXT NOT NULL, 
	value BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_counter PRIMARY KEY (name)
);
INSERT INTO "counter" VALUES('worker_fence',0);
CREATE TABLE delivery (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	tip TEXT NOT NULL, 
	head TEXT NOT NULL, 
	state TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	candidate TEXT, 
	note TEXT, 
	ended_at TEXT, 
	CONSTRAINT pk_delivery PRIMARY KEY (number), 
	CONSTRAINT ck_delivery_state CHECK (state IN ('building', 'ready', 'delivered', 'failed', 'void')), 
	CONSTRAINT ck_delivery_ready_has_candidate CHECK (state NOT IN ('ready', 'delivered') OR candidate IS NOT NULL), 
	CONSTRAINT fk_delivery_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_delivery_id UNIQUE (id)
);
CREATE TABLE event (
	swarm_id TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	at TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	task_id TEXT, 
	session_id TEXT, 
	data TEXT NOT NULL, 
	previous_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (swarm_id, seq), 
	CONSTRAINT fk_event_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE file_claim (
	swarm_id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	CONSTRAINT pk_file_claim PRIMARY KEY (swarm_id, path), 
	CONSTRAINT fk_file_claim_swarm_id FOREIGN KEY(swarm_id, task_id) REFERENCES task (swarm_id, id)
);
CREATE TABLE gate_cache (
	"key" TEXT NOT NULL, 
	result TEXT NOT NULL, 
	at TEXT NOT NULL, 
	CONSTRAINT pk_gate_cache PRIMARY KEY ("key")
);
CREATE TABLE gate_run (
	number INTEGER NOT NULL, 
	change_id TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	tree TEXT NOT NULL, 
	results TEXT NOT NULL, 
	at TEXT NOT NULL, 
	CONSTRAINT pk_gate_run PRIMARY KEY (number), 
	CONSTRAINT ck_gate_run_stage CHECK (stage IN ('change', 'candidate')), 
	CONSTRAINT fk_gate_run_change_id FOREIGN KEY(change_id) REFERENCES change (id)
);
CREATE TABLE health_task (
	swarm_id TEXT NOT NULL, 
	test TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	CONSTRAINT pk_health_task PRIMARY KEY (swarm_id, test), 
	CONSTRAINT fk_health_task_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE intent (
	id INTEGER NOT NULL, 
	swarm_id TEXT NOT NULL, 
	change_id TEXT NOT NULL, 
	ref TEXT NOT NULL, 
	old TEXT NOT NULL, 
	new TEXT NOT NULL, 
	state TEXT NOT NULL, 
	CONSTRAINT pk_intent PRIMARY KEY (id), 
	CONSTRAINT ck_intent_state CHECK (state IN ('open', 'done', 'void')), 
	CONSTRAINT fk_intent_change_id FOREIGN KEY(change_id) REFERENCES change (id), 
	CONSTRAINT fk_intent_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE ledger_entry (
	number INTEGER NOT NULL, 
	swarm_id TEXT NOT NULL, 
	reservation_id TEXT NOT NULL, 
	nano_usd BIGINT DEFAULT '0' NOT NULL, 
	tokens BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_ledger_entry PRIMARY KEY (number), 
	CONSTRAINT fk_ledger_entry_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE mail (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	recipient TEXT NOT NULL, 
	text TEXT NOT NULL, 
	sent_at TEXT NOT NULL, 
	read_at TEXT, 
	CONSTRAINT pk_mail PRIMARY KEY (number), 
	CONSTRAINT fk_mail_recipient FOREIGN KEY(recipient) REFERENCES agent (id), 
	CONSTRAINT fk_mail_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT fk_mail_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_mail_id UNIQUE (id)
);
CREATE TABLE message (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	text TEXT NOT NULL, 
	sent_at TEXT NOT NULL, 
	delivered_at TEXT, 
	CONSTRAINT pk_message PRIMARY KEY (number), 
	CONSTRAINT fk_message_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT fk_message_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_message_id UNIQUE (id)
);
CREATE TABLE "plan" (
	swarm_id TEXT NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_plan PRIMARY KEY (swarm_id), 
	CONSTRAINT fk_plan_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE price (
	list_id TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	label TEXT NOT NULL, 
	provider TEXT, 
	hosts TEXT, 
	"match" TEXT NOT NULL, 
	valid_from TEXT NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_price PRIMARY KEY (list_id, position), 
	CONSTRAINT ck_price_one_place CHECK ((provider IS NULL) <> (hosts IS NULL)), 
	CONSTRAINT fk_price_list_id FOREIGN KEY(list_id) REFERENCES price_list (id)
);
CREATE TABLE price_decision (
	number INTEGER NOT NULL, 
	list_id TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	decided_by TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	decided_at TEXT NOT NULL, 
	CONSTRAINT pk_price_decision PRIMARY KEY (number), 
	CONSTRAINT ck_price_decision_verdict CHECK (verdict IN ('approved', 'rejected')), 
	CONSTRAINT fk_price_decision_list_id FOREIGN KEY(list_id) REFERENCES price_list (id), 
	CONSTRAINT uq_price_decision_list_id UNIQUE (list_id)
);
CREATE TABLE price_list (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	imported_by TEXT NOT NULL, 
	imported_at TEXT NOT NULL, 
	CONSTRAINT pk_price_list PRIMARY KEY (number), 
	CONSTRAINT uq_price_list_id UNIQUE (id)
);
CREATE TABLE price_used (
	digest TEXT NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_price_used PRIMARY KEY (digest)
);
CREATE TABLE question (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	text TEXT NOT NULL, 
	state TEXT NOT NULL, 
	asked_at TEXT NOT NULL, 
	answer TEXT, 
	answered_by TEXT, 
	answered_at TEXT, paths TEXT, 
	CONSTRAINT pk_question PRIMARY KEY (number), 
	CONSTRAINT ck_question_answered_has_answer CHECK ((state = 'answered') = (answer IS NOT NULL)), 
	CONSTRAINT ck_question_state CHECK (state IN ('open', 'answered', 'withdrawn')), 
	CONSTRAINT fk_question_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT fk_question_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_question_id UNIQUE (id)
);
CREATE TABLE queue_branch (
	swarm_id TEXT NOT NULL, 
	head TEXT NOT NULL, 
	pushed TEXT, 
	frozen TEXT, 
	CONSTRAINT pk_queue_branch PRIMARY KEY (swarm_id), 
	CONSTRAINT fk_queue_branch_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE queue_run (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	base TEXT NOT NULL, 
	changes TEXT NOT NULL, 
	commits TEXT NOT NULL, 
	below INTEGER NOT NULL, 
	lane BOOLEAN NOT NULL, 
	verdict TEXT, 
	sure BOOLEAN NOT NULL, 
	started_at TEXT NOT NULL, 
	ended_at TEXT, 
	closed BOOLEAN NOT NULL, ended BIGINT, 
	CONSTRAINT pk_queue_run PRIMARY KEY (number), 
	CONSTRAINT ck_queue_run_verdict CHECK (verdict IS NULL OR verdict IN ('passed', 'failed')), 
	CONSTRAINT fk_queue_run_id FOREIGN KEY(id) REFERENCES work (id), 
	CONSTRAINT fk_queue_run_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_queue_run_id UNIQUE (id)
);
CREATE TABLE replica (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	ttl_s FLOAT NOT NULL, 
	beats BIGINT DEFAULT '0' NOT NULL, 
	api_url TEXT NOT NULL, 
	gateway_url TEXT NOT NULL, 
	CONSTRAINT pk_replica PRIMARY KEY (id)
);
CREATE TABLE reservation (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	account_id TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	model TEXT NOT NULL, 
	reserved_nano_usd BIGINT DEFAULT '0' NOT NULL, 
	reserved_tokens BIGINT DEFAULT '0' NOT NULL, 
	settled_nano_usd BIGINT, 
	settled_tokens BIGINT, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	cache_read_tokens BIGINT, 
	cache_write_tokens BIGINT, 
	estimated BOOLEAN DEFAULT false NOT NULL, 
	opened_at TEXT NOT NULL, 
	ended_at TEXT, 
	provider_request_id TEXT, replica_id TEXT, price TEXT, subscription TEXT, day_account TEXT, month_account TEXT, agent_account TEXT, settled_calls BIGINT, 
	CONSTRAINT pk_reservation PRIMARY KEY (number), 
	CONSTRAINT ck_reservation_settled_has_amount CHECK ((state = 'settled') = (settled_nano_usd IS NOT NULL)), 
	CONSTRAINT ck_reservation_state CHECK (state IN ('held', 'sent', 'settled', 'freed')), 
	CONSTRAINT ck_reservation_not_negative CHECK (reserved_nano_usd >= 0 AND reserved_tokens >= 0), 
	CONSTRAINT fk_reservation_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT fk_reservation_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT fk_reservation_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_reservation_id UNIQUE (id)
);
CREATE TABLE review (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	gate TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	subject_id TEXT NOT NULL, 
	question TEXT NOT NULL, 
	state TEXT NOT NULL, 
	asked_at TEXT NOT NULL, 
	task_id TEXT, 
	deciders TEXT NOT NULL, 
	advice TEXT, 
	decided_by TEXT, 
	reason TEXT, 
	decided_at TEXT, 
	CONSTRAINT pk_review PRIMARY KEY (number), 
	CONSTRAINT ck_review_decided_by_somebody CHECK ((state = 'open') = (decided_by IS NULL)), 
	CONSTRAINT ck_review_state CHECK (state IN ('open', 'approved', 'rejected', 'void')), 
	CONSTRAINT ck_review_subject CHECK (subject IN ('plan', 'change', 'delivery')), 
	CONSTRAINT fk_review_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_review_id UNIQUE (id)
);
CREATE TABLE secret (
	name TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	envelope TEXT NOT NULL, 
	set_by TEXT NOT NULL, 
	set_at TEXT NOT NULL, 
	CONSTRAINT pk_secret PRIMARY KEY (name)
);
CREATE TABLE session (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	attempt BIGINT DEFAULT '0' NOT NULL, 
	agent_id TEXT NOT NULL, 
	worker_id TEXT NOT NULL, 
	account_id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	state TEXT NOT NULL, 
	base_commit TEXT NOT NULL, 
	claimed_at TEXT NOT NULL, 
	started_at TEXT, 
	ended_at TEXT, 
	outcome TEXT, 
	reason TEXT, 
	token_sha256 TEXT, 
	CONSTRAINT pk_session PRIMARY KEY (number), 
	CONSTRAINT ck_session_ended_has_outcome CHECK ((state = 'ended') = (outcome IS NOT NULL)), 
	CONSTRAINT ck_session_outcome CHECK (outcome IN ('submitted', 'nothing_to_do', 'failed', 'handed_off', 'stopped', 'lost', 'killed', 'infrastructure', 'asked')), 
	CONSTRAINT ck_session_state CHECK (state IN ('claimed', 'running', 'ended')), 
	CONSTRAINT fk_session_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT fk_session_agent_id FOREIGN KEY(agent_id) REFERENCES agent (id), 
	CONSTRAINT fk_session_task FOREIGN KEY(swarm_id, task_id) REFERENCES task (swarm_id, id), 
	CONSTRAINT fk_session_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_session_id UNIQUE (id), 
	CONSTRAINT uq_session_token_sha256 UNIQUE (token_sha256)
);
CREATE TABLE session_stop (
	session_id TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at TEXT NOT NULL, 
	CONSTRAINT pk_session_stop PRIMARY KEY (session_id), 
	CONSTRAINT fk_session_stop_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
CREATE TABLE subscription (
	provider TEXT NOT NULL, 
	CONSTRAINT pk_subscription PRIMARY KEY (provider)
);
CREATE TABLE swarm (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	project TEXT NOT NULL, 
	state TEXT NOT NULL, 
	account_id TEXT NOT NULL, 
	integration_ref TEXT NOT NULL, 
	base TEXT NOT NULL, 
	options TEXT NOT NULL, 
	task_limit TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	ended_at TEXT, 
	reason TEXT, agent_limit TEXT, 
	CONSTRAINT pk_swarm PRIMARY KEY (number), 
	CONSTRAINT ck_swarm_state CHECK (state IN ('running', 'paused', 'stopping', 'stopped', 'blocked', 'landed')), 
	CONSTRAINT fk_swarm_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT uq_swarm_id UNIQUE (id)
);
CREATE TABLE takeover (
	session_id TEXT NOT NULL, 
	before_id TEXT NOT NULL, 
	tries BIGINT DEFAULT '0' NOT NULL, 
	accepted_at TEXT, 
	CONSTRAINT pk_takeover PRIMARY KEY (session_id), 
	CONSTRAINT fk_takeover_before_id FOREIGN KEY(before_id) REFERENCES session (id), 
	CONSTRAINT fk_takeover_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
CREATE TABLE task (
	swarm_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	position BIGINT DEFAULT '0' NOT NULL, 
	planned TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	role TEXT NOT NULL, 
	owns TEXT NOT NULL, 
	state TEXT NOT NULL, 
	rank BIGINT DEFAULT '0' NOT NULL, 
	attempts BIGINT DEFAULT '0' NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	waiting_on BIGINT DEFAULT '0' NOT NULL, 
	rejection TEXT, 
	note TEXT, 
	landed_commit TEXT, 
	guidance TEXT, 
	CONSTRAINT pk_task PRIMARY KEY (swarm_id, id), 
	CONSTRAINT ck_task_state CHECK (state IN ('waiting', 'ready', 'running', 'review', 'queued', 'landed', 'nothing_to_do', 'parked', 'blocked', 'superseded', 'cancelled')), 
	CONSTRAINT ck_task_ready_waits_for_nothing CHECK (state NOT IN ('ready', 'running') OR waiting_on = 0), 
	CONSTRAINT ck_task_waiting_on CHECK (waiting_on >= 0), 
	CONSTRAINT fk_task_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE task_count (
	swarm_id TEXT NOT NULL, 
	task_state TEXT NOT NULL, 
	tasks BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_task_count PRIMARY KEY (swarm_id, task_state), 
	CONSTRAINT ck_task_count_task_state CHECK (task_state IN ('waiting', 'ready', 'running', 'review', 'queued', 'landed', 'nothing_to_do', 'parked', 'blocked', 'superseded', 'cancelled')), 
	CONSTRAINT ck_task_count_tasks CHECK (tasks >= 0), 
	CONSTRAINT fk_task_count_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE task_edge (
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	needs TEXT NOT NULL, 
	CONSTRAINT pk_task_edge PRIMARY KEY (swarm_id, task_id, needs), 
	CONSTRAINT fk_task_edge_needs FOREIGN KEY(swarm_id, needs) REFERENCES task (swarm_id, id), 
	CONSTRAINT fk_task_edge_swarm_id FOREIGN KEY(swarm_id, task_id) REFERENCES task (swarm_id, id)
);
CREATE TABLE test_failure (
	change_id TEXT NOT NULL, 
	test TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	CONSTRAINT pk_test_failure PRIMARY KEY (change_id, test), 
	CONSTRAINT fk_test_failure_change_id FOREIGN KEY(change_id) REFERENCES change (id), 
	CONSTRAINT fk_test_failure_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id)
);
CREATE TABLE work (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	swarm_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	state TEXT NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	need TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	priority BIGINT DEFAULT '0' NOT NULL, 
	worker_id TEXT, 
	leased_at TEXT, 
	result TEXT, 
	unnamed_renewals BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_work PRIMARY KEY (number), 
	CONSTRAINT ck_work_kind CHECK (kind IN ('session', 'gates', 'build', 'review', 'delivery')), 
	CONSTRAINT ck_work_leased_to_somebody CHECK (state <> 'leased' OR worker_id IS NOT NULL), 
	CONSTRAINT ck_work_state CHECK (state IN ('queued', 'leased', 'done', 'void')), 
	CONSTRAINT fk_work_swarm_id FOREIGN KEY(swarm_id) REFERENCES swarm (id), 
	CONSTRAINT uq_work_id UNIQUE (id)
);
CREATE TABLE worker (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	ttl_s FLOAT NOT NULL, 
	renewals BIGINT DEFAULT '0' NOT NULL, 
	capacity TEXT NOT NULL, 
	CONSTRAINT pk_worker PRIMARY KEY (id)
);
CREATE INDEX ix_event_session ON event (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX ix_ledger_entry_swarm ON ledger_entry (swarm_id, number, nano_usd, tokens);
CREATE INDEX ix_task_position ON task (swarm_id, position);
CREATE INDEX ix_task_state ON task (swarm_id, state);
CREATE INDEX ix_work_subject ON work (subject);
CREATE INDEX ix_work_swarm ON work (swarm_id, state, number);
CREATE INDEX ix_work_worker ON work (worker_id, state);
CREATE INDEX ix_file_claim_task ON file_claim (swarm_id, task_id);
CREATE UNIQUE INDEX ix_session_one_per_agent ON session (agent_id) WHERE state <> 'ended';
CREATE UNIQUE INDEX ix_session_one_per_task ON session (swarm_id, task_id) WHERE state <> 'ended';
CREATE INDEX ix_session_swarm ON session (swarm_id, state, number);
CREATE INDEX ix_session_task ON session (swarm_id, task_id, number);
CREATE INDEX ix_task_edge_needs ON task_edge (swarm_id, needs, task_id);
CREATE INDEX ix_change_swarm ON change (swarm_id, state, number);
CREATE INDEX ix_change_task ON change (swarm_id, task_id, number);
CREATE INDEX ix_reservation_account_id ON reservation (account_id);
CREATE INDEX ix_reservation_open ON reservation (number) WHERE state IN ('held', 'sent');
CREATE INDEX ix_reservation_session_id ON reservation (session_id);
CREATE INDEX ix_reservation_swarm ON reservation (swarm_id, state);
CREATE INDEX ix_gate_run_change_id ON gate_run (change_id);
CREATE UNIQUE INDEX ix_intent_open ON intent (change_id) WHERE state = 'open';
CREATE INDEX ix_intent_state ON intent (state, id);
CREATE INDEX ix_task_ready ON task (swarm_id, rank DESC, position) WHERE state = 'ready';
CREATE INDEX ix_work_state ON work (state, priority DESC, number);
CREATE INDEX ix_review_swarm ON review (swarm_id, state, number);
CREATE UNIQUE INDEX ix_review_one_open ON review (subject_id, gate) WHERE state = 'open';
CREATE INDEX ix_question_session_id ON question (session_id);
CREATE INDEX ix_question_swarm ON question (swarm_id, state, number);
CREATE INDEX ix_message_session_id ON message (session_id);
CREATE INDEX ix_message_undelivered ON message (session_id, number) WHERE delivered_at IS NULL;
CREATE INDEX ix_delivery_swarm ON delivery (swarm_id, state, number);
CREATE INDEX ix_reservation_replica ON reservation (replica_id) WHERE state IN ('held', 'sent');
CREATE INDEX ix_swarm_state ON swarm (state, number);
CREATE INDEX ix_swarm_project ON swarm (project, state, number);
CREATE TRIGGER price_list_no_update BEFORE UPDATE ON price_list BEGIN SELECT RAISE(ABORT, 'price_list: rows are never changed'); END;
CREATE TRIGGER price_list_no_delete BEFORE DELETE ON price_list BEGIN SELECT RAISE(ABORT, 'price_list: rows are never changed'); END;
CREATE TRIGGER price_no_update BEFORE UPDATE ON price BEGIN SELECT RAISE(ABORT, 'price: rows are never changed'); END;
CREATE TRIGGER price_no_delete BEFORE DELETE ON price BEGIN SELECT RAISE(ABORT, 'price: rows are never changed'); END;
CREATE TRIGGER price_decision_no_update BEFORE UPDATE ON price_decision BEGIN SELECT RAISE(ABORT, 'price_decision: rows are never changed'); END;
CREATE TRIGGER price_decision_no_delete BEFORE DELETE ON price_decision BEGIN SELECT RAISE(ABORT, 'price_decision: rows are never changed'); END;
CREATE TRIGGER price_used_no_update BEFORE UPDATE ON price_used BEGIN SELECT RAISE(ABORT, 'price_used: rows are never changed'); END;
CREATE TRIGGER price_used_no_delete BEFORE DELETE ON price_used BEGIN SELECT RAISE(ABORT, 'price_used: rows are never changed'); END;
CREATE INDEX ix_reservation_subscription ON reservation (subscription, ended_at) WHERE subscription IS NOT NULL;
CREATE INDEX ix_account_open ON account (parent_id) WHERE state <> 'closed';
CREATE INDEX ix_queue_run_open ON queue_run (swarm_id, number) WHERE NOT closed;
CREATE INDEX ix_mail_session_id ON mail (session_id);
CREATE INDEX ix_mail_unread ON mail (swarm_id, recipient, number) WHERE read_at IS NULL;
CREATE INDEX ix_test_failure_test ON test_failure (swarm_id, test);

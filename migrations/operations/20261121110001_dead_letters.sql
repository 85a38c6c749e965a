-- The inbox of dead letters, redrives, and a copy of every audit entry; first version, nothing older exists.

CREATE TABLE dead_letters (
    id              uuid PRIMARY KEY,
    -- Grows with arrival; lists page by it.
    number          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    state           text NOT NULL DEFAULT 'open',
    -- Who could not handle it, and where it lay.
    consumer        text NOT NULL,
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    -- The original of an edited copy.
    copy_of         uuid REFERENCES dead_letters (id),
    message_key     bytea NOT NULL,
    value           bytea NOT NULL,
    headers         jsonb NOT NULL,
    -- What could be read out of it.
    event_id        uuid,
    event_type      text NOT NULL,
    aggregate_id    text,
    order_id        uuid,
    customer        text,
    amount_minor    bigint,
    currency        text,
    trace_id        text,
    correlation_id  text,
    about_money     boolean NOT NULL,
    error_code      text NOT NULL,
    error           text NOT NULL,
    attempts        integer NOT NULL,
    times_failed    integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL,
    last_failed_at  timestamptz NOT NULL,
    arrived_at      timestamptz NOT NULL,
    redrive_id      uuid,
    settled_by      text,
    settled_at      timestamptz,
    reason          text
);
CREATE UNIQUE INDEX dead_letters_place ON dead_letters (consumer, topic, kafka_partition, kafka_offset)
    WHERE copy_of IS NULL;
CREATE INDEX dead_letters_state ON dead_letters (state, number);
CREATE INDEX dead_letters_aggregate ON dead_letters (aggregate_id);
CREATE INDEX dead_letters_order ON dead_letters (order_id);
CREATE INDEX dead_letters_copies ON dead_letters (copy_of) WHERE copy_of IS NOT NULL;

-- Every record of a dead letter topic, once.
CREATE TABLE dead_letter_arrivals (
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    letter_id       uuid NOT NULL REFERENCES dead_letters (id) ON DELETE CASCADE,
    error_code      text NOT NULL,
    error           text NOT NULL,
    attempts        integer NOT NULL,
    arrived_at      timestamptz NOT NULL,
    PRIMARY KEY (topic, kafka_partition, kafka_offset)
);
CREATE INDEX dead_letter_arrivals_letter ON dead_letter_arrivals (letter_id);

CREATE TABLE dead_letter_notes (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter_id uuid NOT NULL REFERENCES dead_letters (id) ON DELETE CASCADE,
    text      text NOT NULL,
    author    text NOT NULL,
    at        timestamptz NOT NULL
);
CREATE INDEX dead_letter_notes_letter ON dead_letter_notes (letter_id);

CREATE TABLE redrives (
    id                  uuid PRIMARY KEY,
    number              bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    state               text NOT NULL,
    reason              text,
    canary              bigint NOT NULL,
    rate_per_second     bigint NOT NULL,
    stop_after_failures bigint NOT NULL,
    plan                jsonb NOT NULL,
    created_by          text NOT NULL,
    created_at          timestamptz NOT NULL,
    started_at          timestamptz,
    finished_at         timestamptz,
    stop_reason         text,
    -- Failures a person has looked at; they stop it no more.
    forgiven            bigint NOT NULL DEFAULT 0,
    -- Whether the canary did well.
    canary_passed       boolean NOT NULL DEFAULT false,
    -- Up to when the rate limit has been used.
    paced_at            timestamptz
);
CREATE INDEX redrives_active ON redrives (id) WHERE state IN ('canary', 'running');

CREATE TABLE redrive_items (
    redrive_id uuid NOT NULL REFERENCES redrives (id) ON DELETE CASCADE,
    position   bigint NOT NULL,
    letter_id  uuid NOT NULL REFERENCES dead_letters (id) ON DELETE CASCADE,
    state      text NOT NULL,
    note       text,
    sent_at    timestamptz,
    settled_at timestamptz,
    PRIMARY KEY (redrive_id, position),
    UNIQUE (redrive_id, letter_id)
);
CREATE INDEX redrive_items_state ON redrive_items (redrive_id, state, position);
CREATE INDEX redrive_items_sent ON redrive_items (letter_id) WHERE state = 'sent';

-- What every service exported: found by search, and a witness against a log that was cut off.
CREATE TABLE audit_facts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text NOT NULL,
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    target      text NOT NULL,
    reason      text,
    before_hash text,
    after_hash  text,
    hash        text NOT NULL,
    UNIQUE (service, seq, hash)
);
CREATE INDEX audit_facts_target ON audit_facts (target, id);
CREATE INDEX audit_facts_actor ON audit_facts (actor, id);

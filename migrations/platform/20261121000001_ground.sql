-- What every service stands on: outbox, inbox, parked messages, idempotency. First version; nothing older exists.

CREATE TABLE aggregate_versions (
    aggregate_id text PRIMARY KEY,
    version      bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE outbox (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id          uuid NOT NULL,
    topic             text NOT NULL,
    event_type        text,
    partition_key     text NOT NULL,
    aggregate_id      text,
    aggregate_version bigint,
    -- Text, not jsonb: amounts keep the digits they were written with.
    payload           text,
    occurred_at       timestamptz NOT NULL,
    trace_id          text,
    correlation_id    text,
    causation_id      uuid,
    -- Set for records that are published unchanged instead of an envelope.
    raw_key           bytea,
    raw               bytea,
    headers           jsonb,
    CHECK ((payload IS NULL) <> (raw IS NULL))
);

-- What the broker refused for good.
CREATE TABLE outbox_dead (
    id          bigint PRIMARY KEY,
    event_id    uuid NOT NULL,
    topic       text NOT NULL,
    partition_key text NOT NULL,
    record      jsonb NOT NULL,
    error       text NOT NULL,
    died_at     timestamptz NOT NULL
);

CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    done_at  timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_done_at ON inbox USING brin (done_at);

-- Messages that wait for their retry, and the later ones of their key.
CREATE TABLE parked (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer        text NOT NULL,
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    message_key     bytea NOT NULL,
    value           bytea NOT NULL,
    headers         jsonb NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    first_failed_at timestamptz,
    -- Null for a follower: it waits for those before it.
    retry_at        timestamptz,
    -- Sent to the dead letters: waits for redrive or deletion.
    dead_at         timestamptz,
    error_code      text,
    error           text,
    UNIQUE (consumer, topic, kafka_partition, kafka_offset)
);
CREATE INDEX parked_key ON parked (consumer, topic, message_key, id);
CREATE INDEX parked_due ON parked (consumer, retry_at) WHERE retry_at IS NOT NULL;

CREATE TABLE idempotency_records (
    scope        bytea PRIMARY KEY,
    fingerprint  bytea NOT NULL,
    status       smallint NOT NULL,
    content_type text NOT NULL,
    body         bytea NOT NULL,
    location     text,
    created_at   timestamptz NOT NULL
);
CREATE INDEX idempotency_records_created_at ON idempotency_records USING brin (created_at);

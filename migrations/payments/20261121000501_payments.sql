-- Payments, their attempts, refunds and every call to a provider. First version; nothing older exists.

-- One payment per order: two captures of one order cannot both stand.
CREATE TABLE payments (
    payment_id           uuid PRIMARY KEY,
    order_id             uuid NOT NULL UNIQUE,
    amount_minor         bigint NOT NULL CHECK (amount_minor > 0),
    currency             text NOT NULL CHECK (length(currency) = 3),
    status               text NOT NULL CHECK (status IN
        ('CREATED', 'PROCESSING', 'CAPTURED', 'DECLINED', 'PARTIALLY_REFUNDED', 'REFUNDED')),
    provider             text NOT NULL,
    -- The provider's name of the charge.
    transaction_id       text,
    decline_code         text,
    captured_minor       bigint NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    refunded_minor       bigint NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    -- Promised to refunds that are under way.
    refund_pending_minor bigint NOT NULL DEFAULT 0 CHECK (refund_pending_minor >= 0),
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    CHECK (refunded_minor + refund_pending_minor <= captured_minor)
) WITH (fillfactor = 80);

CREATE TABLE payment_attempts (
    attempt_id     uuid PRIMARY KEY,
    payment_id     uuid NOT NULL REFERENCES payments,
    order_id       uuid NOT NULL,
    amount_minor   bigint NOT NULL,
    currency       text NOT NULL,
    -- Encrypted; emptied as soon as the outcome stands.
    token_sealed   bytea,
    state          text NOT NULL CHECK (state IN
        ('RUNNING', 'UNKNOWN', 'CAPTURED', 'DECLINED', 'NOT_SENT')),
    provider       text NOT NULL,
    transaction_id text,
    decline_code   text,
    sends          integer NOT NULL DEFAULT 1,
    asks           integer NOT NULL DEFAULT 0,
    -- No request of this attempt left after this moment.
    quiet_from     timestamptz NOT NULL,
    -- Whose turn it is, and when somebody else may take over.
    owner          uuid,
    due_at         timestamptz,
    trace_id       text NOT NULL,
    correlation_id text NOT NULL,
    created_at     timestamptz NOT NULL,
    settled_at     timestamptz,
    CHECK ((state IN ('RUNNING', 'UNKNOWN')) = (due_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX payment_attempts_one_open
    ON payment_attempts (payment_id) WHERE state IN ('RUNNING', 'UNKNOWN');
CREATE INDEX payment_attempts_order ON payment_attempts (order_id);
CREATE INDEX payment_attempts_due ON payment_attempts (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE refunds (
    refund_id      uuid PRIMARY KEY,
    payment_id     uuid NOT NULL REFERENCES payments,
    order_id       uuid NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    currency       text NOT NULL,
    reason         text NOT NULL,
    -- WAITING: certainly not sent, to be sent at due_at.
    state          text NOT NULL CHECK (state IN
        ('RUNNING', 'WAITING', 'UNKNOWN', 'SUCCEEDED', 'FAILED')),
    charge_transaction_id text NOT NULL,
    provider       text NOT NULL,
    transaction_id text,
    failure_code   text,
    sends          integer NOT NULL DEFAULT 1,
    asks           integer NOT NULL DEFAULT 0,
    quiet_from     timestamptz NOT NULL,
    owner          uuid,
    due_at         timestamptz,
    trace_id       text NOT NULL,
    correlation_id text NOT NULL,
    created_at     timestamptz NOT NULL,
    settled_at     timestamptz,
    CHECK ((state IN ('RUNNING', 'WAITING', 'UNKNOWN')) = (due_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX refunds_payment ON refunds (payment_id);
CREATE INDEX refunds_order ON refunds (order_id);
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

-- Every message to a provider and what came of it; masked, for support.
CREATE TABLE provider_calls (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The attempt or the refund.
    subject_id  uuid NOT NULL,
    -- OUT: we called. IN: the provider told us.
    direction   text NOT NULL CHECK (direction IN ('OUT', 'IN')),
    provider    text NOT NULL,
    operation   text NOT NULL,
    outcome     text NOT NULL,
    message     text NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_us bigint NOT NULL
);
CREATE INDEX provider_calls_subject ON provider_calls (subject_id, id);

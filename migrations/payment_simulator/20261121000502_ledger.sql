-- The simulated gateway's ledger. First version; nothing older exists.

CREATE TABLE ledger (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id text NOT NULL UNIQUE,
    order_id       text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('CHARGE', 'REFUND')),
    status         text NOT NULL CHECK (status IN ('APPROVED', 'DECLINED', 'REQUIRES_ACTION')),
    decline_reason text,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    currency       text NOT NULL,
    attempt_id     text,
    refund_id      text,
    -- Of a refund: the charge it gives back.
    refund_of      text REFERENCES ledger (transaction_id),
    via            text NOT NULL CHECK (via IN ('SOAP', 'REST')),
    at             timestamptz NOT NULL
);
CREATE INDEX ledger_order ON ledger (order_id, id);
CREATE INDEX ledger_refund_of ON ledger (refund_of) WHERE refund_of IS NOT NULL;

-- Attempts whose first request was lost on purpose.
CREATE TABLE lost_before (
    attempt text PRIMARY KEY,
    at      timestamptz NOT NULL
);

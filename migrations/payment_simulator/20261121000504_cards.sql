-- Card-style endpoints over the same ledger: authorisations and remembered answers; no card is kept.
ALTER TABLE ledger DROP CONSTRAINT ledger_via_check;
ALTER TABLE ledger ADD CONSTRAINT ledger_via_check
    CHECK (via IN ('SOAP', 'REST', 'STRIPE', 'ADYEN'));

-- Payments that go in steps. The ledger gets an entry when money moves or is declined.
CREATE TABLE card_payments (
    id             text PRIMARY KEY,
    via            text NOT NULL CHECK (via IN ('STRIPE', 'ADYEN')),
    order_id       text NOT NULL,
    attempt_id     text NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    captured_minor bigint NOT NULL DEFAULT 0,
    currency       text NOT NULL,
    manual         boolean NOT NULL,
    token          text NOT NULL,
    status         text NOT NULL CHECK (status IN
        ('NEW', 'REQUIRES_ACTION', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'CANCELED')),
    decline_code   text,
    return_url     text,
    -- What came of the buyer's action, handed to the shop by the redirect.
    action_result  text,
    at             timestamptz NOT NULL
);
CREATE INDEX card_payments_order ON card_payments (order_id);

-- The first answer to a key, given again to every repeat.
CREATE TABLE card_answers (
    via         text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    status      smallint NOT NULL,
    body        text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (via, key)
);

-- Several providers, two-step payments and payment intents; code from before goes on as it was.

-- A payment belongs to an order, or is an intent of its own whose order_id is its own id.
ALTER TABLE payments
    ADD COLUMN purpose          text NOT NULL DEFAULT 'ORDER' CHECK (purpose IN ('ORDER', 'INTENT')),
    ADD COLUMN capture_method   text NOT NULL DEFAULT 'AUTOMATIC'
        CHECK (capture_method IN ('AUTOMATIC', 'MANUAL')),
    ADD COLUMN authorized_minor bigint NOT NULL DEFAULT 0 CHECK (authorized_minor >= 0),
    ADD COLUMN country          text CHECK (length(country) = 2),
    ADD COLUMN created_by       text NOT NULL DEFAULT 'service:orders',
    -- Where the buyer has to do something; only while the status says so.
    ADD COLUMN next_action_url  text,
    DROP CONSTRAINT payments_status_check,
    ADD CONSTRAINT payments_status_check CHECK (status IN
        ('CREATED', 'PROCESSING', 'REQUIRES_ACTION', 'AUTHORIZED', 'CAPTURED', 'DECLINED',
         'PARTIALLY_REFUNDED', 'REFUNDED', 'CANCELED')),
    ADD CONSTRAINT payments_captured_within_amount CHECK (captured_minor <= amount_minor);

ALTER TABLE payment_attempts
    ADD COLUMN operation   text NOT NULL DEFAULT 'CHARGE'
        CHECK (operation IN ('CHARGE', 'CAPTURE', 'VOID')),
    ADD COLUMN method      text NOT NULL DEFAULT 'card',
    ADD COLUMN purpose     text NOT NULL DEFAULT 'ORDER' CHECK (purpose IN ('ORDER', 'INTENT')),
    -- Authorise only.
    ADD COLUMN manual      boolean NOT NULL DEFAULT false,
    -- Which key sealed the token; null: the installation's column key.
    ADD COLUMN token_key   text,
    -- Keyed hash of the token: how often the same one was used lately.
    ADD COLUMN token_hash  bytea,
    ADD COLUMN buyer       text,
    ADD COLUMN return_url  text,
    -- Of the request that began it, so that a key is not used for another one.
    ADD COLUMN fingerprint bytea,
    -- Of a capture or void: the authorisation, and what the payment was before.
    ADD COLUMN authorization_id text,
    ADD COLUMN status_before    text,
    -- A person has to decide before anything is sent.
    ADD COLUMN risk_reason text,
    DROP CONSTRAINT payment_attempts_state_check,
    ADD CONSTRAINT payment_attempts_state_check CHECK (state IN
        ('RUNNING', 'UNKNOWN', 'REVIEW', 'REQUIRES_ACTION', 'AUTHORIZED', 'CAPTURED', 'DECLINED',
         'NOT_SENT', 'VOIDED'));
DROP INDEX payment_attempts_one_open;
CREATE UNIQUE INDEX payment_attempts_one_open ON payment_attempts (payment_id)
    WHERE state IN ('RUNNING', 'UNKNOWN', 'REVIEW');
CREATE INDEX payment_attempts_payment ON payment_attempts (payment_id, created_at);
CREATE INDEX payment_attempts_velocity ON payment_attempts (token_hash, created_at)
    WHERE token_hash IS NOT NULL;
CREATE INDEX payment_attempts_buyer ON payment_attempts (buyer, created_at)
    WHERE buyer IS NOT NULL;
CREATE INDEX payment_attempts_sealed ON payment_attempts (token_key)
    WHERE token_sealed IS NOT NULL;
CREATE INDEX payment_attempts_review ON payment_attempts (created_at) WHERE state = 'REVIEW';

ALTER TABLE refunds ADD COLUMN fingerprint bytea;

-- What providers told us, once each: a repeat changes nothing.
CREATE TABLE provider_notifications (
    provider        text NOT NULL,
    notification_id text NOT NULL,
    event           text NOT NULL,
    -- The attempt or refund it is about.
    subject_id      uuid,
    outcome         text NOT NULL,
    received_at     timestamptz NOT NULL,
    PRIMARY KEY (provider, notification_id)
);

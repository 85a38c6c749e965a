-- Live channels: what was said to whom, for resuming within a day. First version; nothing older exists.

-- Whose order it is, from its events; no personal data.
CREATE TABLE live_orders (
    order_id     uuid PRIMARY KEY,
    order_number text NOT NULL,
    user_id      uuid,
    guest_id     uuid,
    total_minor  bigint NOT NULL,
    currency     text NOT NULL,
    created_at   timestamptz NOT NULL
);

-- A target is an order, an account or the staff channel; each counts its own messages.
CREATE TABLE live_targets (
    target   text PRIMARY KEY,
    last_seq bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE live_messages (
    target   text NOT NULL,
    seq      bigint NOT NULL,
    order_id uuid NOT NULL,
    status   text NOT NULL,
    stage    text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (target, seq)
);
CREATE INDEX live_messages_at ON live_messages USING brin (at);

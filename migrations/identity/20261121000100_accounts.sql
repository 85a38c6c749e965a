-- Accounts, sessions and refresh tokens. First version; nothing older exists.

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    -- Keyed hash of the lower-cased address: finds an account without showing it.
    email_hash    bytea NOT NULL UNIQUE,
    email         bytea NOT NULL,
    first_name    bytea NOT NULL,
    last_name     bytea NOT NULL,
    phone         bytea,
    password_hash text NOT NULL,
    roles         text[] NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- A row per token ever issued in a live session: a used one that comes back is theft.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

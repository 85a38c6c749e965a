-- Operators list sagas by state and age; backorders and undecided payments of ended orders are states of their own. Old code survives it.

ALTER TABLE sagas ADD COLUMN state_since timestamptz NOT NULL DEFAULT now();
UPDATE sagas SET state_since = updated_at;

-- Few are open at a time, however many there were.
CREATE INDEX sagas_open ON sagas (state) WHERE state <> 'done';

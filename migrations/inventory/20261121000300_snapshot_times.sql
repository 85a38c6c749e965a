-- When the event that a row of the snapshot shows happened; nobody wrote the table before.

ALTER TABLE stock_snapshot ADD COLUMN updated_at timestamptz NOT NULL;

-- The span in which an event was appended, so that a trace goes on behind it. Older code leaves it empty.

ALTER TABLE outbox ADD COLUMN span_id text;

-- The outbox is empty most of the time: giving its pages back to the system after each cleaning would lock out
-- writers and relay, only to ask for them again.
ALTER TABLE outbox SET (vacuum_truncate = off);

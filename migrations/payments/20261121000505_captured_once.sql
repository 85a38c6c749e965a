-- One charge of the gateways that share a ledger pays for one attempt: an answer meant for another call cannot. Old code survives it.

CREATE UNIQUE INDEX payment_attempts_captured_once
    ON payment_attempts (provider, transaction_id)
    WHERE state = 'CAPTURED' AND transaction_id IS NOT NULL AND provider IN ('soap', 'rest');

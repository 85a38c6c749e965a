# For `opa test policies/`; the service's own tests ask the same questions.
package bellavista.orders.cancel_test

import data.bellavista.orders.cancel
import rego.v1

owner := {"owner": true, "roles": ["CUSTOMER"], "service": false}

stranger := {"owner": false, "roles": ["CUSTOMER"], "service": false}

support := {"owner": false, "roles": ["SUPPORT"], "service": false}

test_owner_while_pending if cancel.allow with input as {"caller": owner, "order": {"status": "PENDING"}}

test_not_owner_once_paid if not cancel.allow with input as {"caller": owner, "order": {"status": "PAID"}}

test_no_stranger if not cancel.allow with input as {"caller": stranger, "order": {"status": "PENDING"}}

test_support_before_dispatch if cancel.allow with input as {"caller": support, "order": {"status": "CONFIRMED"}}

test_nobody_after_dispatch if not cancel.allow with input as {"caller": support, "order": {"status": "SHIPPED"}}

test_nothing_known_is_no if not cancel.allow with input as {}

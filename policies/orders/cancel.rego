# Who may cancel an order. Evaluated in process by `orders`; an OPA server given
# this file answers the same under /v1/data/bellavista/orders/cancel/allow.
#
# Whether the order's state permits it at all is the saga's to say: this decides
# about people only.
#
# input: {"caller": {"owner": bool, "roles": [text], "service": bool},
#         "order": {"status": text}}
package bellavista.orders.cancel

import rego.v1

default allow := false

# Nothing is paid yet: the owner may change their mind.
allow if {
	input.caller.owner == true
	input.order.status == "PENDING"
}

# Until dispatch, staff and services may.
allow if {
	acts_for_the_shop
	input.order.status in {"PENDING", "PAID", "CONFIRMED"}
}

acts_for_the_shop if input.caller.service == true

# Roles contain each other: SUPPORT within MERCHANT within ADMIN.
acts_for_the_shop if {
	some role in input.caller.roles
	role in {"SUPPORT", "MERCHANT", "ADMIN"}
}

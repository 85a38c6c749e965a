//! Who may act: the roles of a token.

crate::text::word_enum! {
    /// A role. `SUPPORT` ⊂ `MERCHANT` ⊂ `ADMIN`; the others stand alone.
    Role, "role" {
        Guest = "GUEST",
        Customer = "CUSTOMER",
        Support = "SUPPORT",
        Merchant = "MERCHANT",
        Admin = "ADMIN",
        Operator = "OPERATOR",
        Partner = "PARTNER",
        Service = "SERVICE",
    }
}

impl Role {
    /// Whether holding `self` includes the rights of `wanted`.
    pub fn includes(self, wanted: Role) -> bool {
        let rank = |r| match r {
            Role::Support => 1,
            Role::Merchant => 2,
            Role::Admin => 3,
            _ => 0,
        };
        self == wanted || (rank(self) > rank(wanted) && rank(wanted) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staff_roles_contain_each_other_and_nothing_else() {
        assert!(Role::Admin.includes(Role::Support));
        assert!(Role::Merchant.includes(Role::Support));
        assert!(!Role::Support.includes(Role::Merchant));
        assert!(!Role::Admin.includes(Role::Operator));
        assert!(!Role::Operator.includes(Role::Support));
    }
}

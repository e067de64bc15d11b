//! What a route asks of a caller beside being known.

use crate::{Caller, Denied};

/// Roles and scopes. Both must be met; an empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Require {
    /// The caller needs one of these: roles say who somebody is.
    pub roles: Vec<String>,
    /// The credential needs all of these: scopes say what it was given out for.
    pub scopes: Vec<String>,
}

impl Require {
    /// Compared exactly, case included.
    ///
    /// # Errors
    /// For the first of the two that is not met.
    pub fn check(&self, caller: &Caller) -> Result<(), Denied> {
        if !self.roles.is_empty() && !self.roles.iter().any(|role| caller.roles.contains(role)) {
            return Err(Denied::RoleMissing);
        }
        if !self
            .scopes
            .iter()
            .all(|scope| caller.scopes.contains(scope))
        {
            return Err(Denied::ScopeMissing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_role_and_every_scope() {
        let list = |words: &str| words.split_whitespace().map(str::to_owned).collect();
        let ask = |roles: &str, scopes: &str| {
            let caller = Caller {
                roles: list("user lead"),
                scopes: list("chat read"),
                ..Caller::default()
            };
            let require = Require {
                roles: list(roles),
                scopes: list(scopes),
            };
            require.check(&caller)
        };
        assert_eq!(ask("", ""), Ok(()));
        assert_eq!(ask("admin lead", "read chat"), Ok(()));
        assert_eq!(ask("admin", "chat"), Err(Denied::RoleMissing));
        assert_eq!(ask("Lead", ""), Err(Denied::RoleMissing));
        assert_eq!(ask("user", "chat write"), Err(Denied::ScopeMissing));
    }
}

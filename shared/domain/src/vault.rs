//! Whom the vault is sealed to, and how that may change. Pure: keys are texts here, and nothing is sealed.
//!
//! Three kinds of recipients. The workers' own open the vault every day. Those in *escrow* are kept elsewhere, for the day on
//! which the workers' own is lost. Those *leaving* were the workers' own, and are sealed to until a rotation is finished, so
//! that a worker that has not got the new identity yet goes on working.

/// The recipients of one version of the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// All of them: whatever enters the vault is sealed to each.
    pub all: Vec<String>,
    /// Those whose identity is kept elsewhere.
    pub escrow: Vec<String>,
    /// Those on their way out.
    pub leaving: Vec<String>,
}

/// Why recipients cannot be changed in this way, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotNow(pub String);

impl Recipients {
    /// A first version, for this identity of the workers.
    pub fn first(own: String, escrow: Vec<String>) -> Self {
        let all = std::iter::once(own).chain(escrow.iter().cloned()).collect();
        Self {
            all,
            escrow,
            leaving: Vec::new(),
        }
    }

    /// The workers' own, without those on their way out.
    pub fn own(&self) -> impl Iterator<Item = &String> {
        self.all
            .iter()
            .filter(|one| !self.escrow.contains(one) && !self.leaving.contains(one))
    }

    /// Whether a rotation has begun and is not finished.
    pub fn is_rotating(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// With one more in escrow.
    pub fn with_escrow(&self, new: &str) -> Result<Self, NotNow> {
        if self.all.iter().any(|one| one == new) {
            return Err(NotNow(format!("{new} is a recipient of the vault already")));
        }
        let mut next = self.clone();
        next.all.push(new.to_owned());
        next.escrow.push(new.to_owned());
        Ok(next)
    }

    /// Without one of those in escrow.
    pub fn without_escrow(&self, old: &str) -> Result<Self, NotNow> {
        if !self.all.iter().any(|one| one == old) {
            return Err(NotNow(format!("{old} is no recipient of the vault")));
        }
        if !self.escrow.iter().any(|one| one == old) {
            return Err(NotNow(format!(
                "{old} is the workers' own: `cards vault rotate` replaces it"
            )));
        }
        let mut next = self.clone();
        next.all.retain(|one| one != old);
        next.escrow.retain(|one| one != old);
        Ok(next)
    }

    /// With a new identity of the workers beside the ones they have, which are leaving from now on. `ever` are the recipients
    /// of all versions there were: one that has left does not come back.
    pub fn rotating_to(&self, new: &str, ever: &[String]) -> Result<Self, NotNow> {
        if self.is_rotating() {
            return Err(NotNow(
                "a rotation is under way: finish it, or cancel it, before the next one".to_owned(),
            ));
        }
        if ever.iter().chain(&self.all).any(|one| one == new) {
            return Err(NotNow(format!("{new} is, or was, a recipient of this vault")));
        }
        let mut next = self.clone();
        next.leaving = self.own().cloned().collect();
        next.all.push(new.to_owned());
        Ok(next)
    }

    /// Without those that were leaving.
    pub fn rotated(&self) -> Result<Self, NotNow> {
        self.under_way()?;
        let mut next = self.clone();
        next.all.retain(|one| !self.leaving.contains(one));
        next.leaving.clear();
        Ok(next)
    }

    /// As before the rotation: those that were leaving stay, the new one goes.
    pub fn rotated_back(&self) -> Result<Self, NotNow> {
        self.under_way()?;
        let mut next = self.clone();
        next.all
            .retain(|one| self.leaving.contains(one) || self.escrow.contains(one));
        next.leaving.clear();
        Ok(next)
    }

    /// After the workers' own were lost: those in escrow stay, and the workers get this new one. `ever` as above.
    pub fn recovered_to(&self, new: &str, ever: &[String]) -> Result<Self, NotNow> {
        if self.escrow.is_empty() {
            return Err(NotNow("nobody is in escrow".to_owned()));
        }
        if ever.iter().chain(&self.all).any(|one| one == new) {
            return Err(NotNow(format!("{new} is, or was, a recipient of this vault")));
        }
        Ok(Self::first(new.to_owned(), self.escrow.clone()))
    }

    fn under_way(&self) -> Result<(), NotNow> {
        if self.is_rotating() {
            Ok(())
        } else {
            Err(NotNow("no rotation is under way".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_rotation_keeps_the_old_one_until_it_is_finished() {
        let first = Recipients::first("a".into(), texts(&["e"]));
        assert_eq!((&first.all, &first.escrow), (&texts(&["a", "e"]), &texts(&["e"])));
        let both = first.rotating_to("b", &[]).unwrap();
        assert_eq!((&both.all, &both.leaving), (&texts(&["a", "e", "b"]), &texts(&["a"])));
        assert_eq!(both.own().collect::<Vec<_>>(), ["b"]);
        assert!(both.rotating_to("c", &[]).is_err(), "one at a time");
        assert_eq!(both.rotated_back().unwrap(), first);
        let after = both.rotated().unwrap();
        assert_eq!((&after.all, after.is_rotating()), (&texts(&["e", "b"]), false));
        assert!(after.rotated().is_err() && after.rotated_back().is_err());
        assert!(
            after.rotating_to("a", &texts(&["a", "b", "e"])).is_err(),
            "it has left and does not come back"
        );
    }

    #[test]
    fn what_was_in_escrow_recovers_a_vault() {
        let first = Recipients::first("a".into(), texts(&["e"]));
        let recovered = first
            .rotating_to("b", &[])
            .unwrap()
            .recovered_to("c", &texts(&["a", "b"]))
            .unwrap();
        assert_eq!((&recovered.all, recovered.is_rotating()), (&texts(&["c", "e"]), false));
        assert!(first.recovered_to("a", &[]).is_err());
        assert!(
            Recipients::first("a".into(), Vec::new())
                .recovered_to("b", &[])
                .is_err()
        );
    }

    #[test]
    fn escrow_comes_and_goes_and_the_workers_own_stays() {
        let first = Recipients::first("a".into(), Vec::new());
        let with = first.with_escrow("e").unwrap();
        assert_eq!((&with.all, &with.escrow), (&texts(&["a", "e"]), &texts(&["e"])));
        assert!(with.with_escrow("e").is_err() && with.with_escrow("a").is_err());
        assert_eq!(with.without_escrow("e").unwrap(), first);
        assert!(first.without_escrow("e").is_err());
        assert!(first.without_escrow("a").unwrap_err().0.contains("rotate"));
        let rotating = with.rotating_to("b", &[]).unwrap();
        assert!(rotating.without_escrow("b").is_err() && rotating.without_escrow("a").is_err());
        assert_eq!(rotating.without_escrow("e").unwrap().all, texts(&["a", "b"]));
    }
}

//! The contacts of an answer: written in place, under a heading, or as objects referred to by handle.

use super::words::{Part, Role};
use crate::record::{Entity, is_redacted};

/// More contacts than this are not kept (chosen; registries name at most five a domain).
const PEOPLE_MAX: usize = 32;
/// Parts longer than this are prose, in bytes (chosen).
const PART_MAX: usize = 300;

/// Contacts as they are found.
#[derive(Default)]
pub(super) struct People<'a> {
    by_role: Vec<(Role, Entity)>,
    /// Contacts that stand as objects of their own, with the number of the object.
    objects: Vec<(usize, Entity)>,
    /// Roles that name a contact by its handle.
    references: Vec<(Role, &'a str)>,
}

impl<'a> People<'a> {
    /// A part of the contact for `role`.
    pub(super) fn of_role(&mut self, role: Role, part: Part, value: &'a str) {
        if part == Part::Whole {
            self.references.push((role, value));
        }
        let at = self.by_role.iter().position(|(known, _)| *known == role).or_else(|| {
            (self.by_role.len() < PEOPLE_MAX).then(|| {
                self.by_role.push((role, Entity::default()));
                self.by_role.len() - 1
            })
        });
        if let Some(at) = at {
            set(&mut self.by_role[at].1, part, value);
        }
    }

    /// A bare line under the heading of a role: its name first, then what it looks like.
    pub(super) fn line(&mut self, role: Role, line: &'a str) {
        let known = self.by_role.iter().find(|(known, _)| *known == role);
        let has_name =
            known.is_some_and(|(_, entity)| entity.name.is_some() || entity.redacted.contains(&"name"));
        let part = if line.contains('@') && !line.contains(' ') {
            Part::Email
        } else if !has_name {
            return self.of_role(role, Part::Whole, line);
        } else {
            Part::Address
        };
        self.of_role(role, part, line);
    }

    /// A part of the contact that is object number `object`.
    pub(super) fn of_object(&mut self, object: usize, part: Part, value: &'a str) {
        if self.objects.last().is_none_or(|(known, _)| *known != object) {
            if self.objects.len() >= PEOPLE_MAX {
                return;
            }
            self.objects.push((object, Entity::default()));
        }
        if let Some((_, entity)) = self.objects.last_mut() {
            set(entity, part, value);
        }
    }

    /// The contacts with their roles, those that are the same as one.
    pub(super) fn finish(mut self) -> Vec<Entity> {
        let mut found: Vec<Entity> = Vec::new();
        for (role, mut entity) in self.by_role {
            let named: Vec<&str> =
                self.references.iter().filter(|(of, _)| *of == role).map(|(_, named)| *named).collect();
            let object = self.objects.iter_mut().find(|(_, object)| {
                object
                    .handle
                    .as_deref()
                    .is_some_and(|handle| named.iter().any(|named| named.eq_ignore_ascii_case(handle)))
            });
            if let Some((_, object)) = object {
                entity = object.clone();
            }
            add(&mut found, role, entity);
        }
        found
    }
}

fn add(found: &mut Vec<Entity>, role: Role, mut entity: Entity) {
    if entity == Entity::default() {
        return;
    }
    let same = found.iter_mut().find(|known| Entity { roles: Vec::new(), ..(*known).clone() } == entity);
    match same {
        Some(known) => known.roles.push(role.as_str().to_owned()),
        None => {
            entity.roles.push(role.as_str().to_owned());
            found.push(entity);
        }
    }
}

/// Sets a part; the first value of it stays, addresses are joined.
fn set(entity: &mut Entity, part: Part, value: &str) {
    let value = value.trim().trim_start_matches("mailto:");
    if value.is_empty() || value.len() > PART_MAX {
        return;
    }
    let (slot, name) = match part {
        Part::Whole | Part::Name => (&mut entity.name, "name"),
        Part::Organization => (&mut entity.organization, "organization"),
        Part::Email => (&mut entity.email, "email"),
        Part::Phone => (&mut entity.phone, "phone"),
        Part::Address => (&mut entity.address, "address"),
        Part::Country => (&mut entity.country, "country"),
        Part::Handle => (&mut entity.handle, "handle"),
        Part::Url | Part::IanaId | Part::AbuseEmail | Part::AbusePhone | Part::Other => return,
    };
    if is_redacted(value) {
        if !entity.redacted.contains(&name) {
            entity.redacted.push(name);
        }
    } else if part == Part::Address && slot.is_some() {
        if let Some(address) = slot.as_mut().filter(|address| address.len() + value.len() < PART_MAX) {
            address.push_str(", ");
            address.push_str(value);
        }
    } else if slot.is_none() {
        *slot = Some(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_referred_to_by_handle_is_the_object_of_that_handle() {
        let mut people = People::default();
        people.of_role(Role::Registrant, Part::Whole, "H1-TEST");
        people.of_role(Role::Technical, Part::Whole, "h1-test");
        people.of_object(3, Part::Name, "A Person");
        people.of_object(3, Part::Handle, "H1-TEST");
        let found = people.finish();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].name.as_deref(), &found[0].roles[..]),
            (Some("A Person"), &["registrant".to_owned(), "technical".to_owned()][..])
        );
    }

    #[test]
    fn what_is_hidden_is_named_and_not_kept() {
        let mut people = People::default();
        people.of_role(Role::Registrant, Part::Name, "REDACTED FOR PRIVACY");
        people.of_role(Role::Registrant, Part::Country, "DE");
        let found = people.finish();
        assert_eq!((found[0].name.as_deref(), &found[0].redacted[..]), (None, &["name"][..]));
    }

    #[test]
    fn bare_lines_are_a_name_an_address_and_what_holds_an_at() {
        let mut people = People::default();
        for line in ["A Person", "1 Road", "Town", "a@example.net"] {
            people.line(Role::Administrative, line);
        }
        let found = people.finish();
        assert_eq!(found[0].address.as_deref(), Some("1 Road, Town"));
        assert_eq!(found[0].email.as_deref(), Some("a@example.net"));
    }
}

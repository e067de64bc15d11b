//! A ticket of ASP.NET Core: TicketSerializer, format 5. Not compressed, several identities, claims with properties, actors.
//! It becomes a [`Ticket`] like Katana's: the claims of all identities in their order, the first identity's types.

use std::collections::HashSet;

use super::{
    ticket::{Claim, NAME, PROPERTIES_FORMAT, ROLE, Ticket, or, text},
    wire::{Reader, write_count, write_text},
};
use crate::Denied;

const FORMAT: u32 = 5;
/// An actor may have an actor, and so on: nobody honest goes further.
const MAX_ACTORS: u32 = 4;

pub(super) fn parse(plain: &[u8]) -> Result<Ticket, Denied> {
    let mut reader = Reader(plain);
    match reader.count() {
        Some(FORMAT) => {}
        Some(_) => return Err(Denied::TicketVersion),
        None => return Err(Denied::Malformed),
    }
    body(&mut reader).ok_or(Denied::Malformed)
}

fn body(reader: &mut Reader<'_>) -> Option<Ticket> {
    let scheme = reader.text()?.to_owned();
    let mut ticket: Option<Ticket> = None;
    for _ in 0..reader.count()? {
        let identity = identity(reader, MAX_ACTORS)?;
        match &mut ticket {
            Some(first) => first.claims.extend(identity.claims),
            None => ticket = Some(identity),
        }
    }
    let mut ticket = ticket?;
    ticket.auth_type = scheme;
    if reader.count()? != PROPERTIES_FORMAT {
        return None;
    }
    ticket.properties = properties(reader)?;
    Some(ticket)
}

fn identity(reader: &mut Reader<'_>, actors: u32) -> Option<Ticket> {
    let auth_type = reader.text()?.to_owned();
    let name_type = or(reader.text()?, NAME).to_owned();
    let role_type = or(reader.text()?, ROLE).to_owned();
    // The counts are not trusted with an allocation.
    let mut claims = Vec::new();
    for _ in 0..reader.count()? {
        claims.push(Claim::read(reader, &name_type)?);
        for _ in 0..reader.count()? {
            reader.text()?;
            reader.text()?;
        }
    }
    if flag(reader)? {
        reader.text()?;
    }
    if flag(reader)? {
        identity(reader, actors.checked_sub(1)?)?;
    }
    Some(Ticket {
        auth_type,
        name_type,
        role_type,
        claims,
        properties: Vec::new(),
    })
}

/// .NET's Dictionary.Add throws where a key stands twice; and which of two `.expires` would count?
pub(super) fn properties(reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let mut keys = HashSet::new();
    let mut properties = Vec::new();
    for _ in 0..reader.count()? {
        let (key, value) = (reader.text()?, reader.text()?);
        if !keys.insert(key) {
            return None;
        }
        properties.push((key.to_owned(), value.to_owned()));
    }
    Some(properties)
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    let (first, rest) = reader.0.split_first()?;
    reader.0 = rest;
    match first {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// One identity with the claims of the ticket, no bootstrap token, no actor.
pub(super) fn to_bytes(ticket: &Ticket) -> Vec<u8> {
    let mut out = Vec::new();
    write_count(&mut out, FORMAT as usize);
    write_text(&mut out, &ticket.auth_type);
    write_count(&mut out, 1);
    write_text(&mut out, &ticket.auth_type);
    text(&mut out, &ticket.name_type, NAME);
    text(&mut out, &ticket.role_type, ROLE);
    write_count(&mut out, ticket.claims.len());
    for claim in &ticket.claims {
        claim.write(&mut out, &ticket.name_type);
        write_count(&mut out, 0);
    }
    out.extend([0, 0]);
    write_count(&mut out, PROPERTIES_FORMAT as usize);
    write_count(&mut out, ticket.properties.len());
    for (key, value) in &ticket.properties {
        write_text(&mut out, key);
        write_text(&mut out, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn sample() -> Ticket {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        Ticket::new("Cookies", issued, issued + Duration::from_secs(60))
            .with(NAME, "zoë")
            .with(ROLE, "user")
    }

    #[test]
    fn what_is_written_can_be_read() {
        assert_eq!(parse(&to_bytes(&sample())), Ok(sample()));
    }

    #[test]
    fn actors_end_somewhere() {
        // An identity without claims and bootstrap, that says it has an actor, which is the same again.
        let identity = b"\x01a\x01\0\x01\0\0\0\0\0\0\x01";
        let nested = |depth: usize| {
            let mut bytes = b"\x05\0\0\0\x01s\x01\0\0\0".to_vec();
            (0..depth).for_each(|_| bytes.extend(identity));
            bytes.extend(b"\x01a\x01\0\x01\0\0\0\0\0\0\0");
            bytes.extend(b"\x01\0\0\0\0\0\0\0");
            bytes
        };
        assert!(parse(&nested(4)).is_ok());
        assert_eq!(parse(&nested(5)), Err(Denied::Malformed));
        assert_eq!(parse(&nested(100_000)), Err(Denied::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_tried(bytes: Vec<u8>, at in 0usize..200, byte: u8) {
            let _ = parse(&bytes);
            let _ = parse(&[&[5, 0, 0, 0], &bytes[..]].concat());
            let mut near = to_bytes(&sample());
            if let Some(place) = near.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&near);
        }
    }
}

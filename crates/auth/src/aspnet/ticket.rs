//! What a session cookie says once it is open: claims and properties, in Katana's TicketSerializer format 3 (gzipped).
//! Whether that is enough to let somebody in is decided one floor up.

use std::{
    io::{Read, Write},
    time::SystemTime,
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};

use super::wire::{Reader, write_count, write_text};
use crate::Denied;

/// The claim type of the user's name, unless the identity says otherwise.
pub const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
/// The claim type of roles, unless the identity says otherwise.
pub const ROLE: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
/// The claim type of the user's stable id.
pub const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

const STRING: &str = "http://www.w3.org/2001/XMLSchema#string";
const LOCAL: &str = "LOCAL AUTHORITY";
const SESSION_IDS: [&str; 2] = [
    "Microsoft.Owin.Security.Cookies-SessionId",
    "Microsoft.AspNetCore.Authentication.Cookies-SessionId",
];
/// Stands for a default wherever one is possible.
const DEFAULT: &str = "\0";

const FORMAT: u32 = 3;
pub(super) const PROPERTIES_FORMAT: u32 = 1;
/// A ticket is a few KiB; a bomb is more.
const MAX_INFLATED: u64 = 1024 * 1024;

/// An identity and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The AuthenticationType of the identity.
    pub auth_type: String,
    /// Which claim type the application reads as the name.
    pub name_type: String,
    /// Which claim type the application reads as roles.
    pub role_type: String,
    /// In their order.
    pub claims: Vec<Claim>,
    /// `.issued`, `.expires` and whatever else the application keeps; no key twice.
    pub properties: Vec<(String, String)>,
}

/// One statement about the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Mostly a URI.
    pub kind: String,
    /// As the application wrote it.
    pub value: String,
    /// An XML Schema type.
    pub value_type: String,
    /// Who says so.
    pub issuer: String,
    /// Who said so first.
    pub original_issuer: String,
}

impl Ticket {
    /// A ticket without claims, good from `issued` until `expires` (in whole seconds).
    pub fn new(auth_type: &str, issued: SystemTime, expires: SystemTime) -> Self {
        Self {
            auth_type: auth_type.to_owned(),
            name_type: NAME.to_owned(),
            role_type: ROLE.to_owned(),
            claims: Vec::new(),
            properties: vec![
                (".issued".to_owned(), httpdate::fmt_http_date(issued)),
                (".expires".to_owned(), httpdate::fmt_http_date(expires)),
            ],
        }
    }

    /// The same with one more claim, a string of the local authority.
    pub fn with(mut self, kind: &str, value: &str) -> Self {
        self.claims.push(Claim {
            kind: kind.to_owned(),
            value: value.to_owned(),
            value_type: STRING.to_owned(),
            issuer: LOCAL.to_owned(),
            original_issuer: LOCAL.to_owned(),
        });
        self
    }

    /// The first claim of this type.
    pub fn claim(&self, kind: &str) -> Option<&str> {
        self.claims
            .iter()
            .find(|claim| claim.kind == kind)
            .map(|claim| claim.value.as_str())
    }

    /// Every claim of this type.
    pub fn claims<'t>(&'t self, kind: &'t str) -> impl Iterator<Item = &'t str> {
        self.claims
            .iter()
            .filter(move |claim| claim.kind == kind)
            .map(|claim| claim.value.as_str())
    }

    /// When it was issued; `None` also where that cannot be read.
    pub fn issued(&self) -> Option<SystemTime> {
        self.time(".issued")
    }

    /// When it ends; `None` also where that cannot be read.
    pub fn expires(&self) -> Option<SystemTime> {
        self.time(".expires")
    }

    /// Whether it only names a session that the application keeps in a SessionStore: it proves an id, not a user.
    pub fn is_reference(&self) -> bool {
        SESSION_IDS.iter().any(|id| self.claim(id).is_some())
    }

    pub(super) fn from_gzip(gzip: &[u8]) -> Result<Self, Denied> {
        let mut plain = Vec::new();
        // To the end, so that the trailer's length and checksum are compared too.
        GzDecoder::new(gzip)
            .take(MAX_INFLATED + 1)
            .read_to_end(&mut plain)
            .map_err(|_| Denied::Malformed)?;
        if plain.len() as u64 > MAX_INFLATED {
            return Err(Denied::TooLong);
        }
        Self::parse(&plain)
    }

    pub(super) fn to_gzip(&self) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&self.to_bytes())
            .and_then(|()| gzip.finish())
            .expect("a Vec takes every byte")
    }

    /// Bytes after the end are ignored, as in .NET: the MAC says that the application wrote them.
    fn parse(plain: &[u8]) -> Result<Self, Denied> {
        let mut reader = Reader(plain);
        // Version 2 is ambiguous (Katana 2.x and 3.0.0 differ), and today's Katana refuses it too.
        match reader.count() {
            Some(FORMAT) => {}
            Some(_) => return Err(Denied::TicketVersion),
            None => return Err(Denied::Malformed),
        }
        Self::body(&mut reader).ok_or(Denied::Malformed)
    }

    fn body(reader: &mut Reader<'_>) -> Option<Self> {
        let auth_type = reader.text()?.to_owned();
        let name_type = or(reader.text()?, NAME).to_owned();
        let role_type = or(reader.text()?, ROLE).to_owned();
        // The counts are not trusted with an allocation.
        let mut claims = Vec::new();
        for _ in 0..reader.count()? {
            claims.push(Claim::read(reader, &name_type)?);
        }
        // The bootstrap token: its length in UTF-16 units only says whether there is one.
        if reader.count()? > 0 {
            reader.text()?;
        }
        if reader.count()? != PROPERTIES_FORMAT {
            return None;
        }
        let properties = super::core_ticket::properties(reader)?;
        Some(Self {
            auth_type,
            name_type,
            role_type,
            claims,
            properties,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_count(&mut out, FORMAT as usize);
        write_text(&mut out, &self.auth_type);
        text(&mut out, &self.name_type, NAME);
        text(&mut out, &self.role_type, ROLE);
        write_count(&mut out, self.claims.len());
        for claim in &self.claims {
            claim.write(&mut out, &self.name_type);
        }
        write_count(&mut out, 0);
        write_count(&mut out, PROPERTIES_FORMAT as usize);
        write_count(&mut out, self.properties.len());
        for (key, value) in &self.properties {
            write_text(&mut out, key);
            write_text(&mut out, value);
        }
        out
    }

    /// .NET's format "r", and only that: `Tue, 06 Dec 2016 15:04:31 GMT`, the weekday being the right one.
    fn time(&self, key: &str) -> Option<SystemTime> {
        let (_, text) = self.properties.iter().find(|(known, _)| known == key)?;
        let time = httpdate::parse_http_date(text).ok()?;
        (httpdate::fmt_http_date(time) == *text).then_some(time)
    }
}

impl Claim {
    /// As both generations write one.
    pub(super) fn read(reader: &mut Reader<'_>, name_type: &str) -> Option<Self> {
        let kind = or(reader.text()?, name_type).to_owned();
        let value = reader.text()?.to_owned();
        let value_type = or(reader.text()?, STRING).to_owned();
        let issuer = or(reader.text()?, LOCAL).to_owned();
        let original_issuer = or(reader.text()?, &issuer).to_owned();
        Some(Self {
            kind,
            value,
            value_type,
            issuer,
            original_issuer,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, name_type: &str) {
        text(out, &self.kind, name_type);
        write_text(out, &self.value);
        text(out, &self.value_type, STRING);
        text(out, &self.issuer, LOCAL);
        text(out, &self.original_issuer, &self.issuer);
    }
}

/// A text, or the mark that stands for its default.
pub(super) fn text(out: &mut Vec<u8>, text: &str, default: &str) {
    write_text(out, if text == default { DEFAULT } else { text });
}

pub(super) fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text == DEFAULT { default } else { text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let mut ticket = Ticket::new("Cookies", issued, issued + Duration::from_secs(3600))
            .with(NAME_IDENTIFIER, "42")
            .with(NAME, "zoë")
            .with(ROLE, "user")
            .with(ROLE, &"long ".repeat(100));
        ticket.claims[0].issuer = "https://id.test".to_owned();
        ticket
    }

    fn replaced(key: &str, value: &str) -> Option<SystemTime> {
        let mut ticket = ticket();
        ticket.properties = vec![(key.to_owned(), value.to_owned())];
        ticket.expires()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Ticket::from_gzip(&ticket().to_gzip()), Ok(ticket()));
    }

    #[test]
    fn every_beginning_is_refused_and_no_changed_byte_panics() {
        let whole = ticket().to_bytes();
        for end in 0..whole.len() {
            assert_eq!(
                Ticket::parse(&whole[..end]),
                Err(Denied::Malformed),
                "{end}"
            );
        }
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            for bit in 0..8 {
                changed[index] = whole[index] ^ (1 << bit);
                let _ = Ticket::parse(&changed);
            }
        }
        assert_eq!(
            Ticket::parse(&[&whole[..], b"after"].concat()),
            Ok(ticket())
        );
    }

    #[test]
    fn a_property_that_occurs_twice_is_refused() {
        let mut twice = ticket();
        twice.properties.push(twice.properties[1].clone());
        assert_eq!(Ticket::parse(&twice.to_bytes()), Err(Denied::Malformed));
    }

    #[test]
    fn the_gzip_trailer_counts() {
        let gzip = ticket().to_gzip();
        for index in gzip.len() - 8..gzip.len() {
            let mut changed = gzip.clone();
            changed[index] ^= 1;
            assert_eq!(
                Ticket::from_gzip(&changed),
                Err(Denied::Malformed),
                "{index}"
            );
            assert_eq!(
                Ticket::from_gzip(&gzip[..index]),
                Err(Denied::Malformed),
                "{index}"
            );
        }
    }

    #[test]
    fn only_dotnets_own_form_is_a_time() {
        assert!(replaced(".expires", "Tue, 06 Dec 2016 15:04:31 GMT").is_some());
        for bad in [
            "Mon, 06 Dec 2016 15:04:31 GMT",
            "Tue, 6 Dec 2016 15:04:31 GMT",
            "Tuesday, 06-Dec-16 15:04:31 GMT",
            "Tue Dec  6 15:04:31 2016",
            "2016-12-06T15:04:31Z",
            " Tue, 06 Dec 2016 15:04:31 GMT",
            "",
        ] {
            assert_eq!(replaced(".expires", bad), None, "{bad}");
        }
        assert_eq!(replaced(".Expires", "Tue, 06 Dec 2016 15:04:31 GMT"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_tried(bytes: Vec<u8>) {
            let _ = Ticket::parse(&bytes);
            let _ = Ticket::parse(&[&[3, 0, 0, 0], bytes.as_slice()].concat());
            let _ = Ticket::from_gzip(&bytes);
        }
    }
}

//! The files of a key ring: `key-{guid}.xml` and `revocation-*.xml` (XmlKeyManager, format version 1).
//! A file that cannot be read is an error and never skipped: a revocation passed over would let a stolen key in again.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use roxmltree::{Document, Node};
use secrecy::SecretSlice;

use super::{super::suite::Suite, Guid, date, error::RingError};

/// What one file says.
pub(super) enum File {
    Key(Key),
    /// Of one key.
    Revoked(Guid),
    /// Of every key made before this time.
    AllRevoked(i64),
}

/// One `<key>`.
pub(super) struct Key {
    pub(super) id: Guid,
    pub(super) created: i64,
    pub(super) activates: i64,
    pub(super) suite: Suite,
    pub(super) master: SecretSlice<u8>,
}

pub(super) fn read(text: &str) -> Result<File, RingError> {
    let document =
        Document::parse(text.trim_start_matches('\u{feff}')).map_err(|_| RingError::Xml)?;
    let root = document.root_element();
    match root.tag_name().name() {
        "key" => key(root).map(File::Key),
        "revocation" => revocation(root),
        _ => Err(RingError::Shape),
    }
}

fn revocation(root: Node<'_, '_>) -> Result<File, RingError> {
    let id = child(root, "key")?
        .attribute("id")
        .ok_or(RingError::Element("key"))?;
    if id == "*" {
        return Ok(File::AllRevoked(time(root, "revocationDate")?));
    }
    guid(id).map(File::Revoked).ok_or(RingError::Element("key"))
}

fn key(root: Node<'_, '_>) -> Result<Key, RingError> {
    let id = root
        .attribute("id")
        .and_then(guid)
        .ok_or(RingError::Element("key"))?;
    let outer = child(root, "descriptor")?;
    let kind = outer.attribute("deserializerType").unwrap_or_default();
    let kind = kind.split(',').next().unwrap_or_default();
    if !kind.ends_with(".AuthenticatedEncryptorDescriptorDeserializer") {
        return Err(RingError::Algorithm);
    }
    if let Some(sealed) = outer
        .descendants()
        .find(|node| is(*node, "encryptedSecret"))
    {
        return Err(sealed_by(
            sealed.attribute("decryptorType").unwrap_or_default(),
        ));
    }
    let descriptor = child(outer, "descriptor")?;
    let algorithm = |name| child(descriptor, name).map(|node| node.attribute("algorithm"));
    let encryption = algorithm("encryption")?.ok_or(RingError::Algorithm)?;
    let size = match encryption.get(..7) {
        Some("AES_128") => 16,
        Some("AES_192") => 24,
        Some("AES_256") => 32,
        _ => return Err(RingError::Algorithm),
    };
    let suite = match &encryption[7..] {
        "_GCM" => Suite::Gcm(size),
        "_CBC" => match algorithm("validation")? {
            Some("HMACSHA256") => Suite::Cbc(size, hmac::HMAC_SHA256),
            Some("HMACSHA512") => Suite::Cbc(size, hmac::HMAC_SHA512),
            _ => return Err(RingError::Algorithm),
        },
        _ => return Err(RingError::Algorithm),
    };
    let value = child(child(descriptor, "masterKey")?, "value")?;
    let master = value
        .text()
        .and_then(|text| BASE64_STANDARD.decode(text.trim()).ok())
        .filter(|master| master.len() >= 32)
        .ok_or(RingError::Element("masterKey"))?;
    Ok(Key {
        id,
        created: time(root, "creationDate")?,
        activates: time(root, "activationDate")?,
        suite,
        master: master.into(),
    })
}

/// NullXmlDecryptor's secrets are in the clear but wrapped; no version of ASP.NET Core writes them to a folder.
fn sealed_by(decryptor: &str) -> RingError {
    let name = decryptor.split(',').next().unwrap_or_default();
    RingError::Sealed(match name.rsplit('.').next().unwrap_or_default() {
        "EncryptedXmlDecryptor" => "a certificate (ProtectKeysWithCertificate)",
        "DpapiXmlDecryptor" => "Windows DPAPI (ProtectKeysWithDpapi)",
        "DpapiNGXmlDecryptor" => "Windows DPAPI-NG (ProtectKeysWithDpapiNG)",
        "AzureKeyVaultXmlDecryptor" => "Azure Key Vault (ProtectKeysWithAzureKeyVault)",
        _ => "another decryptor",
    })
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Result<Node<'a, 'i>, RingError> {
    node.children()
        .find(|child| is(*child, name))
        .ok_or(RingError::Element(name))
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn time(root: Node<'_, '_>, name: &'static str) -> Result<i64, RingError> {
    child(root, name)?
        .text()
        .and_then(date::ticks)
        .ok_or(RingError::Element(name))
}

/// As Guid.ToByteArray: the first three groups little-endian.
fn guid(text: &str) -> Option<Guid> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let plain = text.len() == 36 && hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let mut bytes = plain
        .then(|| u128::from_str_radix(&hex, 16).ok())??
        .to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Some(bytes)
}

//! Why a file of a key ring cannot be used. Each says what an operator can do; none repeats what the file holds.

/// What is wrong with one file of a key ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No XML at all.
    #[error("the file is not XML")]
    Xml,
    /// Neither a `<key>` nor a `<revocation>`.
    #[error("the file is neither a key nor a revocation of ASP.NET Core Data Protection")]
    Shape,
    /// An element that must be there.
    #[error("the file has no readable <{0}>")]
    Element(&'static str),
    /// Sealed by something that only the application's machine or account can open.
    #[error(
        "the key is sealed by {0}, which weir cannot open: let the application keep this ring in the clear, in a folder that only it and weir may read"
    )]
    Sealed(&'static str),
    /// A descriptor of other algorithms than the managed AES ones.
    #[error(
        "unsupported algorithm: AES_{{128,192,256}}_{{CBC,GCM}} with HMACSHA256 or HMACSHA512 are supported"
    )]
    Algorithm,
    /// Two files say they are one key.
    #[error("the same key stands in another file")]
    Twice,
    /// A ring without a key would let nobody in.
    #[error("the folder has no key-*.xml")]
    Empty,
}

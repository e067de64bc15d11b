//! What is wrong with a configured key or verifier. Each is something an operator can put right; none repeats a secret.

/// Why a verifier cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A verifier without a key would let nobody in.
    #[error("no key is given")]
    NoKey,
    /// A token verifier that looks nowhere would let nobody in.
    #[error("no place is given where the token may stand")]
    NoSource,
    /// Not a cookie name by RFC 6265.
    #[error("this cannot be the name of a cookie")]
    CookieName,
    /// The AuthenticationType is part of what the keys are derived from.
    #[error("the authentication type is empty")]
    AuthenticationType,
    /// `AutoGenerate` keys live in the registry of the IIS machine.
    #[error(
        "AutoGenerate keys exist only on the IIS machine: write explicit hexadecimal keys into web.config and here"
    )]
    AutoGenerate,
    /// Neither hexadecimal digits nor an even number of them.
    #[error("the {0} key is not hexadecimal")]
    NotHex(&'static str),
    /// .NET's own lower bound is 40 hexadecimal digits.
    #[error("the validation key has {0} bytes, and needs at least 20")]
    ValidationLength(usize),
    /// AES takes these three.
    #[error("the decryption key has {0} bytes; AES takes 16, 24 or 32")]
    DecryptionLength(usize),
    /// MD5, 3DES, AES and `alg:` validation are refused by .NET's own 4.5 path too.
    #[error(
        "unsupported validation algorithm: SHA1, HMACSHA256, HMACSHA384 and HMACSHA512 are supported"
    )]
    Validation,
    /// DES and 3DES are too weak, `alg:` names code of the application.
    #[error("unsupported decryption algorithm: AES (or Auto, which means AES) is supported")]
    Decryption,
    /// Not one of the HMAC algorithms.
    #[error("unsupported token algorithm: HS256, HS384 and HS512 are supported")]
    TokenAlgorithm,
    /// Shorter than the hash (RFC 7518, 3.2).
    #[error("the secret has {bytes} bytes, and needs at least {least}")]
    ShortSecret {
        /// As given.
        bytes: usize,
        /// As the algorithm demands.
        least: usize,
    },
    /// It stands in public examples, so everybody can sign with it.
    #[error("the secret is a published example")]
    KnownSecret,
}

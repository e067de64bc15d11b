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
    /// FormsAuthentication's, which has a ticket of its own.
    #[error(
        "`.ASPXAUTH` is the cookie of FormsAuthentication, whose tickets weir does not read: let the application sign its users in by Microsoft.Owin.Security.Cookies or ASP.NET Core's cookies, or leave its routes without `auth` for it to guard by itself"
    )]
    FormsAuthentication,
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
    /// `none`, or one that no library here knows.
    #[error(
        "unsupported token algorithm: HS256, RS256, PS256 and their 384 and 512, ES256, ES384 and EdDSA are supported"
    )]
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
    /// RS256 and its like verify with a public key.
    #[error("this algorithm takes a public key (`key`, `jwks` or `jwks_url`) and no secret")]
    SecretForPublicKey,
    /// Not PEM, or PEM of something else.
    #[error("this is no PEM of a public key (`-----BEGIN PUBLIC KEY-----`)")]
    Pem,
    /// It could sign, and weir only verifies.
    #[error("this is a private key: give weir only the public one (openssl pkey -in KEY -pubout)")]
    PrivateKey,
    /// Its dates and issuer would be ignored.
    #[error(
        "this is a certificate: give weir the public key in it (openssl x509 -in CERT -pubkey -noout)"
    )]
    Certificate,
    /// P-521, secp256k1 and others.
    #[error("the curve is not supported: P-256, P-384 and Ed25519 are")]
    Curve,
    /// RFC 7518, 3.3.
    #[error("an RSA key has from 2048 to 8192 bits and an odd exponent above 1; this one does not")]
    WeakRsa,
    /// The allow-list names none that the key can do.
    #[error("the key cannot do any of the algorithms in `algorithm`")]
    AlgorithmOfKey,
    /// No JSON, keys twice, or no `keys`.
    #[error("this is no JWK Set: an object with an array `keys`, and no name twice")]
    Jwks,
    /// More than a hundred.
    #[error("there are more than 100 keys")]
    TooManyKeys,
    /// Where a public key may be taken for a secret, anybody can sign.
    #[error("the set mixes secrets and public keys; keep them in two [auth] tables")]
    MixedKeys,
    /// All of them were left out; this is why the first was.
    #[error("no key of the set can be used; of the first: {0}")]
    NoUsableKey(crate::jwt::Fault),
    /// As `weir key new` prints it.
    #[error(
        "this is no hash of a key: `sha256:` and 64 hexadecimal digits, as `weir key new` prints it"
    )]
    Hash,
    /// It is a word of the key itself.
    #[error("the id of a key has 1 to 32 of the characters a-z, 0-9 and \"-\"")]
    KeyId,
    /// Which of two would count?
    #[error("the id of a key stands twice")]
    DuplicateId,
    /// RSA, another curve, a public key, or the older form `EC PRIVATE KEY`.
    #[error(
        "this is no private key on P-256 in PKCS#8 (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)"
    )]
    SigningKey,
}

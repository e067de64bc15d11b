//! The command `cert dev`: a certificate for this machine, signed by an authority whose key is thrown away at once. So a browser or a
//! company's laptop can be told to trust it without anybody ever being able to sign for another name.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::run::say;

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Writes `dev.crt`, `dev.key` and `dev-ca.crt` into the folder, over those of before.
pub(crate) fn dev(folder: &Path, names: &[String]) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now();
    let mut names = names.to_vec();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));

    let mut authority = params(Vec::new(), now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "weir cert dev (the key is thrown away)");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut site = params(names.clone(), now)?;
    site.distinguished_name.push(DnType::CommonName, &*names[0]);
    site.use_authority_key_identifier_extension = true;
    site.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    site.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let site = site.signed_by(&key, &authority)?;

    fs::create_dir_all(folder)?;
    let path = |name| folder.join(name);
    write_key(&path("dev.key"), &key.serialize_pem())?;
    fs::write(path("dev.crt"), site.pem())?;
    fs::write(path("dev-ca.crt"), authority.pem())?;
    say(&format!(
        "for {}, for {} days:\n  {}  the certificate\n  {}  its key\n  {}  the authority, for clients to trust",
        names.join(", "),
        LIFETIME.as_secs() / 86_400,
        path("dev.crt").display(),
        path("dev.key").display(),
        path("dev-ca.crt").display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn params(names: Vec<String>, now: SystemTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    // Clocks differ, also between a machine and the browser on it.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + LIFETIME).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

/// Readable by this account alone from its first byte on.
fn write_key(path: &Path, pem: &str) -> io::Result<()> {
    // One of before may have been made with other rights.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(pem.as_bytes())
}

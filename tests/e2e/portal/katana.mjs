// Mints the session cookie that an ASP.NET (Katana) portal issues, by its published format and with no code of weir's,
// so that weir's reading of it is checked against a second writing.
// Source: AspNetKatana (TicketSerializer, PropertiesSerializer) and referencesource (MachineKey, SP800_108).

import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";

const PURPOSES = ["Microsoft.Owin.Security.Cookies.CookieAuthenticationMiddleware", "Cookies", "v1"];
const CLAIM = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/";
const ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";

// .NET's BinaryWriter: little-endian integers, strings with their byte length in base 128 before them.
const int = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const string = (text) => {
  const bytes = Buffer.from(text, "utf8");
  const length = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
};
const DEFAULT = string("\0"); // stands for "the usual value of this field"

// SP800-108 in counter mode over HMAC-SHA512, whatever the validation algorithm is; as many bytes out as in.
function derive(key) {
  const label = Buffer.from("User.MachineKey.Protect");
  const context = Buffer.concat(PURPOSES.map(string));
  const be32 = (value) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const blocks = [];
  for (let i = 1; (i - 1) * 64 < key.length; i++) {
    blocks.push(createHmac("sha512", key).update(Buffer.concat([be32(i), label, Buffer.of(0), context, be32(key.length * 8)])).digest());
  }
  return Buffer.concat(blocks).subarray(0, key.length);
}

function ticket({ id, name, roles, issued, expires }) {
  const claims = [[CLAIM + "nameidentifier", id], [CLAIM + "name", name], ...roles.map((role) => [ROLE, role])];
  const properties = [[".issued", issued.toUTCString()], [".expires", expires.toUTCString()]];
  return Buffer.concat([
    int(3), string("Cookies"), DEFAULT, DEFAULT, // version, authentication type, name and role claim types
    int(claims.length),
    ...claims.flatMap(([type, value]) => [type === CLAIM + "name" ? DEFAULT : string(type), string(value), DEFAULT, DEFAULT, DEFAULT]),
    int(0), // no bootstrap token
    int(1), int(properties.length),
    ...properties.flatMap(([key, value]) => [string(key), string(value)]),
  ]);
}

/** The value of `.AspNet.Cookies` for `session` ({id, name, roles, issued, expires}), HMACSHA256 and AES; keys are hex. */
export function mint(session, { validation, decryption }) {
  const encryptionKey = derive(Buffer.from(decryption, "hex"));
  const iv = randomBytes(16);
  const cipher = createCipheriv(`aes-${encryptionKey.length * 8}-cbc`, encryptionKey, iv);
  const sealed = Buffer.concat([iv, cipher.update(gzipSync(ticket(session))), cipher.final()]);
  const tag = createHmac("sha256", derive(Buffer.from(validation, "hex"))).update(sealed).digest();
  return Buffer.concat([sealed, tag]).toString("base64url");
}

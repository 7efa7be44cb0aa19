// jose as a judge of relatch's tokens: reads the output of `sample_tokens` (tests/interop/rust) on stdin.

import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { CompactSign, compactVerify, createLocalJWKSet, jwtVerify } from "jose";

const document = JSON.parse(await text(process.stdin));
const expected = {
  issuer: document.issuer,
  audience: document.audience,
  typ: "at+jwt",
  requiredClaims: ["iss", "sub", "aud", "exp", "iat", "jti"],
};
let passed = 0;

const flipped = (token) => {
  const [head, payload, signature] = token.split(".");
  return `${head}.${payload}.${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`;
};

// Key mode: verified with the exposed key, and signed again to the same bytes.
{
  const { token } = document.hs256;
  const key = Uint8Array.from(document.hs256.key);
  const { payload } = await jwtVerify(token, key, expected);
  assert.equal(payload.sub, document.subject);
  await assert.rejects(jwtVerify(flipped(token), key, expected));
  await assert.rejects(jwtVerify(token, new Uint8Array(32), expected));
  const { payload: bytes } = await compactVerify(token, key);
  const header = { alg: "HS256", kid: "key", typ: "at+jwt" };
  assert.equal(await new CompactSign(bytes).setProtectedHeader(header).sign(key), token);
  passed += 1;
}

// Asymmetric: verified with the published key of the header's kid alone.
const keys = createLocalJWKSet(document.jwks);
for (const token of document.signed) {
  const { payload } = await jwtVerify(token, keys, expected);
  assert.equal(payload.sub, document.subject);
  await assert.rejects(jwtVerify(flipped(token), keys, expected));
  passed += 1;
}

console.log(`${passed} passed, 0 failed`);

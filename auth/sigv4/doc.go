// Package sigv4 verifies requests that are signed with AWS Signature Version 4,
// in the Authorization header or in the query. It knows the signature alone:
// whose a key is and what it may be used for is for the caller to say.
//
// Parse reads what a request claims, so that the caller can find the key and
// refuse an unknown one before it reads a body; Signature.Verify then computes
// the signature anew and compares it in constant time.
//
// # What a signature covers
//
// Method, path, query, the signed headers and the body. The host must be signed,
// and so must every X-Amz-* header that the request has: they change what a
// request means. Only X-Amz-Cf-Id is exempt, which CloudFront adds on the way.
// The host is the one that arrived: a proxy in front must pass Host on as it is,
// port included. So must the path arrive as it was sent, its percent escapes too.
//
// # Time
//
// A signature in the header is good for Skew before and after its X-Amz-Date, as
// at AWS; one in the query until its X-Amz-Expires has passed. Within that time
// a request that somebody recorded can be sent again, here as at AWS: what must
// not happen twice needs an idempotency key, and TLS keeps requests secret.
//
// # Choices
//
// The region is not compared with anything, it only takes part in the signature.
// A session token (X-Amz-Security-Token) means nothing to keys that do not
// expire; it is accepted if it is signed. A body that is not signed
// (UNSIGNED-PAYLOAD) is accepted only where the Policy says so, one in signed
// chunks (STREAMING-…) never. AWS4-ECDSA-P256-SHA256 (version 4a) is refused. The
// path is tried as AWS wants it, without empty segments and dots, and then with
// them, since not every client cleans it; where the Policy says so also without
// being encoded once more, as curl 7 signs it.
package sigv4

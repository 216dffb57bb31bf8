package runtime

// OnResume has f called after the machine has gone on from a saved state (a snapshot, a
// migration), or has stood still for some seconds. Other machines may have gone on from the
// same state: what must not be the same on two of them, such as the keys of TLS session
// tickets or an identifier that was drawn before, is to be renewed in f. When f is called,
// crypto/rand, math/rand and math/rand/v2 give new numbers, the wall clock is right, and the
// network stack has renewed its secrets. The functions are called one after the other, in the
// order in which they were registered, on a goroutine of their own, and again for each resume.
// A resume that comes while they run is served after that.
//
// How a machine notices that it goes on, and how soon: docs/randomness.md. On other systems than
// yolk, f is never called.
func OnResume(f func()) { onResume(f) }

//! What the tests of several modules share.

use futures::FutureExt;

/// The result of a future that has nothing to wait for.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the future waits for nothing")
}

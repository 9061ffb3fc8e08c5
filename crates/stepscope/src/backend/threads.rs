//! The threads that compute.

/// Makes the calling thread one of the threads that compute, and says whether it is now: where there are at least two and none has
/// started yet.
///
/// By default the threads of the pool do all the work while the one that asks for it sleeps, so that every operation begins by
/// waking threads up; the thread that trains can as well do its share at once. Once in a program, before anything is computed, on
/// the thread that will train. Results do not depend on it.
pub fn compute_on_this_thread() -> bool {
    // Alone it would be waited for by any other thread that computes something.
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1)
        && std::env::var("RAYON_NUM_THREADS").map_or(true, |count| count.trim() != "1");
    several && rayon::ThreadPoolBuilder::new().use_current_thread().build_global().is_ok()
}

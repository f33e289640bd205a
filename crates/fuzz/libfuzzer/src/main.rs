//! One target under libFuzzer: the one that `TAILWATER_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use tailwater_fuzz::Target;

/// Bytes of the stack that the signal handlers run on.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TAILWATER_FUZZ_TARGET").unwrap_or_default();
    tailwater_fuzz::find(&name).expect("TAILWATER_FUZZ_TARGET names a target: see tests/fuzz")
});

/// Gives the signal handlers a stack of their own: without one, an input that overflows the stack would
/// end the process before libFuzzer has written it down.
fn give_handlers_a_stack() {
    let stack = Vec::<u8>::leak(vec![0; SIGNAL_STACK_BYTES]);
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    // SAFETY: the memory is leaked, so it outlives every signal, and nothing else uses it.
    let outcome = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(outcome, 0, "the stack is large enough");
}

libfuzzer_sys::fuzz_target!(
    init: {
        give_handlers_a_stack();
        LazyLock::force(&TARGET);
    },
    |input: &[u8]| (TARGET.run)(input)
);

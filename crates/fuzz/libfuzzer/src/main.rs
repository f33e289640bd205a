//! One target under libFuzzer: the one that `TAILWATER_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use tailwater_fuzz::Target;

/// Bytes of the stack that the handler of a crash runs on.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TAILWATER_FUZZ_TARGET").unwrap_or_default();
    tailwater_fuzz::find(&name).expect("TAILWATER_FUZZ_TARGET names a target: see tests/fuzz")
});

/// Gives the handler of a crash a stack of its own: without one, an input that overflows the stack would
/// end the process before libFuzzer has written it down.
fn give_handler_a_stack() {
    let stack = Vec::<u8>::leak(vec![0; SIGNAL_STACK_BYTES]);
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    // SAFETY: the memory is leaked, so it outlives every signal, and nothing else uses it.
    let is_set = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(is_set, 0, "the stack is large enough");
    // SAFETY: all zeros are the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // libFuzzer, which sets its handler after this, keeps the flag.
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the action is whole, and no handler is replaced: no other code has run yet.
    let is_set = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) };
    assert_eq!(is_set, 0, "the signal can be handled");
}

libfuzzer_sys::fuzz_target!(
    init: {
        give_handler_a_stack();
        LazyLock::force(&TARGET);
    },
    |input: &[u8]| (TARGET.run)(input)
);

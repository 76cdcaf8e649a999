//! The functions of C's `math.h` that the engine calls, so that the program needs no libm.so.
//!
//! Hardly any run needs the engine, and every start would find, map and bind one library more: 7 %
//! of a plain `connect`, where the engine itself costs 3 %.

use std::ffi::{c_int, c_long};

macro_rules! functions {
    ($($name:ident($($argument:ident),+))*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: f64),+) -> f64 {
            libm::$name($($argument),+)
        }
    )*};
}

functions! {
    acos(x) acosh(x) asin(x) asinh(x) atan(x) atan2(y, x) atanh(x) cos(x) cosh(x) exp(x) expm1(x)
    hypot(x, y) log(x) log10(x) log1p(x) log2(x) pow(x, y) sin(x) sinh(x) tan(x) tanh(x)
}

#[unsafe(no_mangle)]
extern "C" fn frexp(x: f64, exponent: &mut c_int) -> f64 {
    let (fraction, power) = libm::frexp(x);
    *exponent = power;
    fraction
}

#[unsafe(no_mangle)]
extern "C" fn lrint(x: f64) -> c_long {
    libm::rint(x) as c_long
}

#[unsafe(no_mangle)]
extern "C" fn scalbn(x: f64, power: c_int) -> f64 {
    libm::scalbn(x, power)
}

//! Lets the worker find libtorch without `LD_LIBRARY_PATH`: first beside itself (`lib/` next to `bin/`, for a worker that
//! was carried to another machine together with its libraries), then where it was built. `LD_LIBRARY_PATH` goes before both.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_EVENKEEL_TORCH_EXT_LIBDIR");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    if let Ok(folder) = std::env::var("DEP_EVENKEEL_TORCH_EXT_LIBDIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

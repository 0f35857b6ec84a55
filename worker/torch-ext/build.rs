//! Compiles the C++ shim in `csrc/` against libtorch.
//!
//! Gives `DEP_EVENKEEL_TORCH_EXT_LIBDIR` (libtorch's library folder) to the build scripts of crates that make a binary,
//! so that they can put it into the binary's rpath.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The release series that the shim is written for: it uses c10d's internals, which change between releases.
const TORCH_SERIES: &str = "2.11.";

const SOURCES: &[&str] = &[
    "csrc/status.cpp",
    "csrc/optim.cpp",
    "csrc/autograd/accumulate.cpp",
    "csrc/autograd/cast_param.cpp",
    "csrc/c10d/store.cpp",
    "csrc/c10d/group.cpp",
    "csrc/c10d/gloo.cpp",
    "csrc/c10d/reducer.cpp",
    "csrc/kernels/dispatch.cpp",
    "csrc/ops/attention.cpp",
    "csrc/ops/linear_cross_entropy.cpp",
    "csrc/ops/rms_norm.cpp",
    "csrc/ops/rope.cpp",
    "csrc/ops/swiglu.cpp",
];

const CUDA_SOURCES: &[&str] = &["csrc/c10d/nccl.cpp"];

fn main() -> ExitCode {
    let Err(message) = build() else { return ExitCode::SUCCESS };
    // Cargo shows a failed build script's stderr.
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn build() -> Result<(), String> {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=csrc");

    let libtorch = find_libtorch()?;
    check_version(&libtorch)?;
    compile(&libtorch)?;
    compile_kernels()?;

    let lib_dir = libtorch.join("lib");
    println!("cargo:rustc-link-search=native={}", lib_dir.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    if cuda() {
        println!("cargo:rustc-link-lib=torch_cuda");
        println!("cargo:rustc-link-lib=c10_cuda");
    }
    println!("cargo:libdir={}", lib_dir.display());
    // This crate's own tests and examples; other crates' binaries read `libdir`.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib_dir.display());
    Ok(())
}

fn cuda() -> bool {
    env::var_os("CARGO_FEATURE_CUDA").is_some()
}

fn find_libtorch() -> Result<PathBuf, String> {
    let Some(dir) = env::var_os("LIBTORCH") else {
        return Err(
            "evenkeel's worker needs libtorch, and LIBTORCH does not say where it is. Run `make libtorch`, \
                    or set LIBTORCH to the `torch` folder of an installed torch 2.11 wheel."
                .to_owned(),
        );
    };
    let dir = PathBuf::from(dir);
    if dir.join("lib/libtorch_cpu.so").exists() {
        return Ok(dir);
    }
    Err(format!(
        "evenkeel's worker needs libtorch. LIBTORCH is {}, but there is no lib/libtorch_cpu.so in it. Run `make libtorch`, \
         or set LIBTORCH to the `torch` folder of an installed torch 2.11 wheel.",
        dir.display()
    ))
}

fn check_version(libtorch: &Path) -> Result<(), String> {
    let header = libtorch.join("include/torch/headeronly/version.h");
    let text = fs::read_to_string(&header).or_else(|_| {
        // Where releases before 2.9 have it.
        fs::read_to_string(libtorch.join("include/torch/csrc/api/include/torch/version.h"))
    });
    let text = text.map_err(|error| {
        format!(
            "cannot read libtorch's version from {}: {error}. evenkeel needs torch {TORCH_SERIES}x with its headers: \
             run `make libtorch`.",
            header.display()
        )
    })?;
    let version = define(&text, "TORCH_VERSION").unwrap_or("unknown");
    if version.starts_with(TORCH_SERIES) {
        return Ok(());
    }
    Err(format!(
        "evenkeel needs torch {TORCH_SERIES}x, but {} holds version {version}. Run `make libtorch` to get the right one, \
         or set LIBTORCH to the `torch` folder of a torch 2.11 wheel.",
        libtorch.display()
    ))
}

/// The string of `#define NAME "..."`, which may go over two lines.
fn define<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("#define {name} "))?;
    rest.split('"').nth(1)
}

fn compile(libtorch: &Path) -> Result<(), String> {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        // The kernels are the point of this crate, so also a debug build optimises them.
        .opt_level(3)
        .debug(false)
        .warnings(true)
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        // Otherwise torch's own headers would warn by the hundred.
        .flag(format!("-isystem{}", libtorch.join("include").display()))
        .flag(format!("-isystem{}", libtorch.join("include/torch/csrc/api/include").display()))
        .flag("-isystemcsrc/gloo_decl")
        .files(SOURCES);
    if cuda() {
        build.define("USE_C10D_NCCL", None).files(CUDA_SOURCES);
        for include in cuda_includes(libtorch)? {
            build.flag(format!("-isystem{}", include.display()));
        }
    }
    build.try_compile("evenkeel_torch_ext").map_err(|error| format!("the C++ shim did not compile: {error}"))
}

/// The CPU kernels, once for each instruction set (see `csrc/kernels/dispatch.cpp`).
fn compile_kernels() -> Result<(), String> {
    let x86_64 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let sets: &[(&str, &[&str])] = if x86_64 {
        &[
            ("kernels_baseline", &[]),
            ("kernels_avx2", &["-mavx2", "-mfma"]),
            (
                "kernels_avx512",
                &[
                    "-mavx2",
                    "-mfma",
                    "-mavx512f",
                    "-mavx512bw",
                    "-mavx512dq",
                    "-mavx512vl",
                    "-mprefer-vector-width=512",
                ],
            ),
        ]
    } else {
        &[("kernels_baseline", &[])]
    };
    for (name, flags) in sets {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .debug(false)
            .define("EK_KERNELS", *name)
            .flag("-fopenmp-simd")
            // Without these, sqrt and comparisons keep loops from becoming vector loops. Results stay IEEE.
            .flag("-fno-math-errno")
            .flag("-fno-trapping-math")
            .file("csrc/kernels/kernels.cpp");
        for flag in *flags {
            build.flag(flag);
        }
        build
            .try_compile(&format!("evenkeel_{name}"))
            .map_err(|error| format!("the CPU kernels did not compile: {error}"))?;
    }
    Ok(())
}

/// The header folders of the CUDA wheels, which pip puts beside `torch`.
fn cuda_includes(libtorch: &Path) -> Result<Vec<PathBuf>, String> {
    let packages = libtorch.join("../nvidia");
    let wanted = [
        ("cu13/include", "cuda_runtime_api.h", "nvidia-cuda-runtime 13.0 and nvidia-cuda-crt 13.0"),
        ("cu13/include/cccl", "cuda/std/version", "nvidia-cuda-cccl 13.0"),
        ("nccl/include", "nccl.h", "nvidia-nccl-cu13"),
    ];
    wanted
        .iter()
        .map(|(folder, header, wheel)| {
            let path = packages.join(folder);
            if path.join(header).exists() {
                return Ok(path);
            }
            Err(format!(
                "feature `cuda` needs {header} in {}. Run `make libtorch-cuda`, or install {wheel} beside torch.",
                path.display()
            ))
        })
        .collect()
}

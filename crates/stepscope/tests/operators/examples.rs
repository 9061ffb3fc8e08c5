//! The examples that a reader is pointed to do run.

#[path = "../../examples/any_module.rs"]
mod any_module;

#[test]
fn the_example_of_any_module_runs() {
    any_module::main().unwrap();
}

#[path = "../../examples/probes_on_any_module.rs"]
mod probes_on_any_module;

#[test]
fn the_example_of_probes_on_any_module_runs() {
    probes_on_any_module::main().unwrap();
}

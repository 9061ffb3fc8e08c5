//! The examples that a reader is pointed to do run.

#[path = "../../examples/any_module.rs"]
mod any_module;

#[test]
fn the_example_of_any_module_runs() {
    any_module::main().unwrap();
}

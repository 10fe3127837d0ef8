use heck::{AsHeaderCase, ToHeaderCase};

#[test]
fn the_trait_has_its_new_name() {
    assert_eq!("XMLHttpRequest".to_header_case(), "Xml-Http-Request");
}

#[test]
fn the_wrapper_has_its_new_name() {
    assert_eq!(AsHeaderCase("snake_case").to_string(), "Snake-Case");
}

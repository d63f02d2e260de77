//! The catalogue as its users see it.

use sunshine_models::{Catalog, Precision, Role};

#[test]
fn every_built_in_model_fits_its_card() {
    let catalog = Catalog::built_in();
    assert!(catalog.refused().is_empty(), "{:?}", catalog.refused());
    assert_eq!(catalog.models().len(), 6);
    for card in catalog.models() {
        let model = catalog.load(card).unwrap();
        assert_eq!(model.outline.opset, 13, "{}", card.name);
        assert_eq!(model.outline.outputs.len(), card.outputs.len(), "{}", card.name);
    }
    assert!(catalog.find(Role::Pose, Precision::F32).is_none());
}

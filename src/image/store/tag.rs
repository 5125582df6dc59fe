//! Names: an image may have several, and a name belongs to one image.

use crate::error::{Error, Result};
use crate::image::documents::Origin;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::index::{Index, name_of};

impl Store {
    /// Gives the image that `source` names further names, taking them from whichever image has them.
    ///
    /// # Errors
    /// There is no such image, or a name is none.
    pub fn tag(&self, source: &str, names: &[String]) -> Result<Vec<Reference>> {
        let names = names.iter().map(|name| plain(name)).collect::<Result<Vec<_>>>()?;
        let _lock = self.lock()?;
        let mut index = Index::read(&self.images())?;
        let image = self.lookup(&index, source)?.clone();
        for name in &names {
            index.put(Some(name), image.clone(), &Origin::of(&image));
        }
        index.write(&self.images())?;
        Ok(names)
    }

    /// Takes names from their images, which stay, even without any.
    ///
    /// # Errors
    /// A name that no image has.
    pub fn untag(&self, names: &[String]) -> Result<Vec<Reference>> {
        let names = names.iter().map(|name| plain(name)).collect::<Result<Vec<_>>>()?;
        let _lock = self.lock()?;
        let mut index = Index::read(&self.images())?;
        for name in &names {
            if !index.images.iter().any(|image| name_of(image) == Some(&name.to_string())) {
                return Err(super::not_found(&index, name, &name.familiar()));
            }
            index.untag(&name.to_string());
        }
        index.write(&self.images())?;
        Ok(names)
    }
}

fn plain(text: &str) -> Result<Reference> {
    let name = Reference::parse(text)?;
    match name.digest() {
        None => Ok(name),
        Some(_) => Err(Error::new(format!("{text:?} has a digest, which is no name that could be given"))),
    }
}

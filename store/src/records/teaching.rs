//! Teachable checks: parts of pictures that people mark with yes or no, and the heads learnt from them.
//!
//! A crop is a small picture of whatever the check is about, with what the embedding model made of it. A head
//! is learnt from embeddings of one model only: mixed, they would mean nothing.

use domain::{CameraKey, Check, DeviceId, Scope, UtcMillis};
use sha2::{Digest as _, Sha256};

use super::{
    Records,
    audit::{self, Line},
    cameras::expect_registered,
    database::{Builder, Row, Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    findings::{camera_of, zone_text},
};

/// The most crops of one check of one camera. Beyond it the oldest that nobody marked goes.
pub const MAX_CROPS: usize = 400;

/// The most bytes of a crop's JPEG.
pub const MAX_CROP_BYTES: usize = 64 * 1024;

/// The most numbers of an embedding.
pub const MAX_EMBEDDING: usize = 4_096;

/// The most bytes of a head's JSON.
pub const MAX_HEAD_BYTES: usize = 256 * 1024;

/// What is taught: a check of a camera, in a zone or in the whole picture.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeadKey {
    /// The camera.
    pub camera: CameraKey,
    /// The check.
    pub check: Check,
    /// The zone; `None` for the whole picture.
    pub zone: Option<DeviceId>,
}

/// A crop's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CropId(pub i64);

impl std::fmt::Display for CropId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A crop about to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCrop {
    /// What it is about.
    pub of: HeadKey,
    /// When the picture was taken.
    pub at: UtcMillis,
    /// The picture as JPEG, faces blurred; at most [`MAX_CROP_BYTES`].
    pub jpeg: Vec<u8>,
    /// What the embedding model made of it: 1 to [`MAX_EMBEDDING`] finite numbers.
    pub embedding: Vec<f32>,
    /// The SHA-256 of that model's file, in hexadecimal.
    pub embedder_sha256: String,
}

/// A crop without its picture and its numbers: see [`Records::crop_jpeg`] and [`Records::labelled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// Its number.
    pub id: CropId,
    /// What it is about.
    pub of: HeadKey,
    /// When the picture was taken.
    pub at: UtcMillis,
    /// The SHA-256 of the embedding model's file, in hexadecimal.
    pub embedder_sha256: String,
    /// Whether it shows what the check looks for; `None` until somebody has marked it.
    pub label: Option<bool>,
    /// Who marked it.
    pub labelled_by: Option<String>,
}

/// Which crops to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CropFilter {
    /// All.
    #[default]
    All,
    /// Those that nobody has marked.
    Unlabelled,
    /// Those that somebody has.
    Labelled,
}

/// A head as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// What it judges.
    pub of: HeadKey,
    /// The head in JSON; inference reads it.
    pub json: String,
    /// Who had it learnt.
    pub made_by: String,
    /// When.
    pub made_at: UtcMillis,
    /// 1, 2, 3, …
    pub version: i64,
}

impl Records {
    /// Keeps a crop to be marked. When the check has [`MAX_CROPS`], the oldest that nobody marked makes room;
    /// `None` when all are marked: then this one is not kept. Not idempotent: crops do not come from the log.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when the camera is not registered, [`RecordError::Invalid`] for a picture or an
    /// embedding out of bounds.
    pub async fn add_crop(&self, crop: &NewCrop) -> Result<Option<CropId>, RecordError> {
        check_crop(crop)?;
        let mut transaction = self.database.write().await?;
        expect_registered(&mut transaction, &crop.of.camera).await?;
        if !make_room(&mut transaction, &crop.of).await? {
            return Ok(None);
        }
        let id = insert_crop(&mut transaction, crop).await?;
        commit(transaction).await?;
        Ok(Some(id))
    }

    /// The crops of one check of one camera, newest first; at most [`MAX_CROPS`]. None when the camera lies
    /// outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn crops(
        &self,
        scope: &Scope,
        camera: &CameraKey,
        check: Check,
        filter: CropFilter,
    ) -> Result<Vec<Crop>, RecordError> {
        if !scope.allows(&camera.facility) {
            return Ok(Vec::new());
        }
        let mut query = Builder::new(
            "SELECT id, facility, camera, check_code, zone, at_ms, embedder_sha256, label, labelled_by \
             FROM crops WHERE facility = ",
        );
        query.push_bind(camera.facility.as_str().to_owned());
        query
            .push(" AND camera = ")
            .push_bind(camera.camera.as_str().to_owned());
        query.push(" AND check_code = ").push_bind(check.code());
        query.push(match filter {
            CropFilter::All => "",
            CropFilter::Unlabelled => " AND label IS NULL",
            CropFilter::Labelled => " AND label IS NOT NULL",
        });
        query.push(" ORDER BY id DESC");
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(crop_of).collect()
    }

    /// A crop's picture, or `None` when it does not exist or lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn crop_jpeg(&self, scope: &Scope, id: CropId) -> Result<Option<Vec<u8>>, RecordError> {
        let row = sqlx::query("SELECT id, facility, camera, jpeg FROM crops WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let Some(row) = row else { return Ok(None) };
        let fields = Fields::of(&row, "id");
        if !scope.allows(&camera_of(&fields)?.facility) {
            return Ok(None);
        }
        Ok(Some(fields.get("jpeg")?))
    }

    /// Marks a crop: it shows what the check looks for, it does not, or nobody can tell (`None`). The last
    /// word holds; the audit trail keeps them all.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when it does not exist or lies outside `scope`, [`RecordError::Invalid`] for an
    /// empty or over-long `by`.
    pub async fn label_crop(
        &self,
        scope: &Scope,
        id: CropId,
        label: Option<bool>,
        by: &str,
    ) -> Result<Crop, RecordError> {
        audit::check_actor("by", by)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "UPDATE crops SET label = $2, labelled_by = $3 WHERE id = $1 \
             RETURNING id, facility, camera, check_code, zone, at_ms, embedder_sha256, label, labelled_by",
        )
        .bind(id.0)
        .bind(label)
        .bind(label.map(|_marked| by.trim()))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let crop = row.as_ref().map(crop_of).transpose()?;
        let crop = crop.filter(|crop| scope.allows(&crop.of.camera.facility));
        // What was written to a crop outside the scope goes with the transaction.
        let crop = crop.ok_or(RecordError::NotFound)?;
        let line = Line {
            actor: by.trim(),
            action: "crop.label",
            object: &format!("crop {id}"),
            detail: &format!("{}: {}", name_of(&crop.of), label_text(label)),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(crop)
    }

    /// The marked crops that a head is learnt from, oldest first: embeddings by the model of
    /// `embedder_sha256`, and whether each shows what the check looks for. None outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn labelled(
        &self,
        scope: &Scope,
        of: &HeadKey,
        embedder_sha256: &str,
    ) -> Result<Vec<(Vec<f32>, bool)>, RecordError> {
        if !scope.allows(&of.camera.facility) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT id, embedding, label FROM crops \
             WHERE facility = $1 AND camera = $2 AND check_code = $3 AND zone = $4 \
               AND embedder_sha256 = $5 AND label IS NOT NULL ORDER BY id",
        )
        .bind(of.camera.facility.as_str())
        .bind(of.camera.camera.as_str())
        .bind(of.check.code())
        .bind(zone_text(of.zone.as_ref()))
        .bind(embedder_sha256)
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        let example = |row: &Row| {
            let fields = Fields::of(row, "id");
            let numbers = numbers_of(fields.get("embedding")?).ok_or_else(|| fields.damaged("embedding"))?;
            Ok((numbers, fields.get("label")?))
        };
        rows.iter().map(example).collect()
    }

    /// Keeps a head, instead of the one that was there, and answers with its version: 1, 2, … The running
    /// server notices by [`Records::directory_version`].
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when the camera lies outside `scope`, [`RecordError::Missing`] when it is not
    /// registered, [`RecordError::Invalid`] for a text that is not JSON or has more than [`MAX_HEAD_BYTES`].
    pub async fn put_head(
        &self,
        scope: &Scope,
        of: &HeadKey,
        json: &str,
        by: &str,
    ) -> Result<i64, RecordError> {
        audit::check_actor("by", by)?;
        check_head(json)?;
        if !scope.allows(&of.camera.facility) {
            return Err(RecordError::NotFound);
        }
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        expect_registered(&mut transaction, &of.camera).await?;
        let version: i64 = sqlx::query_scalar(
            "INSERT INTO taught_heads (facility, camera, check_code, zone, head, made_by, made_at_ms, version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1) \
             ON CONFLICT (facility, camera, check_code, zone) DO UPDATE SET head = excluded.head, \
               made_by = excluded.made_by, made_at_ms = excluded.made_at_ms, \
               version = taught_heads.version + 1 \
             RETURNING version",
        )
        .bind(of.camera.facility.as_str())
        .bind(of.camera.camera.as_str())
        .bind(of.check.code())
        .bind(zone_text(of.zone.as_ref()))
        .bind(json)
        .bind(by.trim())
        .bind(now.0)
        .fetch_one(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        directory::changed(&mut transaction).await?;
        let line = Line {
            actor: by.trim(),
            action: "head.put",
            object: &format!("head {}", name_of(of)),
            detail: &format!("version {version} sha256={}", hex::encode(Sha256::digest(json))),
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await?;
        Ok(version)
    }

    /// A camera's heads, ordered by check and zone. None outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn heads(&self, scope: &Scope, camera: &CameraKey) -> Result<Vec<StoredHead>, RecordError> {
        if !scope.allows(&camera.facility) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT * FROM taught_heads WHERE facility = $1 AND camera = $2 ORDER BY check_code, zone",
        )
        .bind(camera.facility.as_str())
        .bind(camera.camera.as_str())
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter().map(head_of).collect()
    }
}

fn check_crop(crop: &NewCrop) -> Result<(), RecordError> {
    let invalid = |field, problem| Err(RecordError::Invalid { field, problem });
    if crop.jpeg.is_empty() {
        return invalid("jpeg", Problem::Empty);
    }
    if crop.jpeg.len() > MAX_CROP_BYTES {
        return invalid("jpeg", Problem::TooLarge { max: MAX_CROP_BYTES });
    }
    if crop.embedding.is_empty() {
        return invalid("embedding", Problem::Empty);
    }
    if crop.embedding.len() > MAX_EMBEDDING {
        return invalid("embedding", Problem::TooMany { max: MAX_EMBEDDING });
    }
    if !crop.embedding.iter().all(|number| number.is_finite()) {
        return invalid("embedding", Problem::NotFinite);
    }
    match hex::decode(&crop.embedder_sha256) {
        Ok(bytes) if bytes.len() == 32 => Ok(()),
        _no_hash => invalid("embedder_sha256", Problem::NoHash),
    }
}

fn check_head(json: &str) -> Result<(), RecordError> {
    let problem = if json.len() > MAX_HEAD_BYTES {
        Problem::TooLarge { max: MAX_HEAD_BYTES }
    } else if serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
        Problem::NotJson
    } else {
        return Ok(());
    };
    Err(RecordError::Invalid {
        field: "head",
        problem,
    })
}

/// Sees to it that one more crop fits; false when all that are there are marked.
async fn make_room(transaction: &mut Transaction, of: &HeadKey) -> Result<bool, RecordError> {
    let (facility, camera) = (of.camera.facility.as_str(), of.camera.camera.as_str());
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM crops WHERE facility = $1 AND camera = $2 AND check_code = $3",
    )
    .bind(facility)
    .bind(camera)
    .bind(of.check.code())
    .fetch_one(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    if usize::try_from(count).is_ok_and(|count| count < MAX_CROPS) {
        return Ok(true);
    }
    sqlx::query(
        "DELETE FROM crops WHERE id = (SELECT MIN(id) FROM crops WHERE facility = $1 AND camera = $2 \
           AND check_code = $3 AND label IS NULL)",
    )
    .bind(facility)
    .bind(camera)
    .bind(of.check.code())
    .execute(&mut **transaction)
    .await
    .map(|done| done.rows_affected() > 0)
    .map_err(RecordError::from_database)
}

async fn insert_crop(transaction: &mut Transaction, crop: &NewCrop) -> Result<CropId, RecordError> {
    let id: i64 =
        sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'crops' RETURNING value")
            .fetch_one(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    sqlx::query(
        "INSERT INTO crops (id, facility, camera, check_code, zone, at_ms, jpeg, embedding, embedder_sha256) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(crop.of.camera.facility.as_str())
    .bind(crop.of.camera.camera.as_str())
    .bind(crop.of.check.code())
    .bind(zone_text(crop.of.zone.as_ref()))
    .bind(crop.at.0)
    .bind(crop.jpeg.as_slice())
    .bind(bytes_of(&crop.embedding))
    .bind(&crop.embedder_sha256)
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(CropId(id))
}

/// How the audit trail names what is taught.
fn name_of(of: &HeadKey) -> String {
    let zone = of.zone.as_ref().map_or("whole picture", DeviceId::as_str);
    format!("{} {} {zone}", of.camera, of.check.code())
}

const fn label_text(label: Option<bool>) -> &'static str {
    match label {
        Some(true) => "yes",
        Some(false) => "no",
        None => "taken back",
    }
}

/// Numbers as bytes, little-endian, whatever the machine.
fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn numbers_of(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty()
        .then(|| numbers.iter().map(|four| f32::from_le_bytes(*four)).collect())
}

fn key_of(fields: &Fields<'_>) -> Result<HeadKey, RecordError> {
    let zone = match fields.get::<&str>("zone")? {
        "" => None,
        _named => Some(fields.id("zone")?),
    };
    Ok(HeadKey {
        camera: camera_of(fields)?,
        check: fields.parsed("check_code", Check::parse)?,
        zone,
    })
}

fn crop_of(row: &Row) -> Result<Crop, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Crop {
        id: CropId(fields.get("id")?),
        of: key_of(&fields)?,
        at: fields.moment("at_ms")?,
        embedder_sha256: fields.get("embedder_sha256")?,
        label: fields.get("label")?,
        labelled_by: fields.get("labelled_by")?,
    })
}

fn head_of(row: &Row) -> Result<StoredHead, RecordError> {
    let fields = Fields::of(row, "camera");
    Ok(StoredHead {
        of: key_of(&fields)?,
        json: fields.get("head")?,
        made_by: fields.get("made_by")?,
        made_at: fields.moment("made_at_ms")?,
        version: fields.get("version")?,
    })
}

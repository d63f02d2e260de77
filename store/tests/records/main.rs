//! The record store through its public surface, on real files.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod cameras;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod handling;
#[cfg(test)]
mod homes;
#[cfg(test)]
mod onboarding;
#[cfg(test)]
mod people;
#[cfg(test)]
mod places;
#[cfg(test)]
mod teaching;

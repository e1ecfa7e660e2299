//! The order and the bounds of what is given out.

use proptest::prelude::*;

use super::*;

fn frame(size: usize, fill: usize) -> Frame {
    Frame::new(vec![fill.to_le_bytes()[0]; size])
}

fn backlog(sizes: &[usize]) -> (Backlog, Vec<Frame>) {
    let frames: Vec<Frame> = sizes
        .iter()
        .copied()
        .enumerate()
        .map(|(fill, size)| frame(size, fill))
        .collect();
    let mut backlog = Backlog::default();
    for frame in &frames {
        backlog.push(&mut Some(frame.clone()));
    }
    (backlog, frames)
}

/// The frames of a piece.
fn frames(piece: Piece<'_>) -> Vec<Frame> {
    match piece {
        Piece::Shared(frame) => vec![frame.clone()],
        Piece::Copies(copies) => {
            let decode = || FrameCodec::default().decode(&mut copies.encoded).unwrap();
            let frames: Vec<Frame> = std::iter::from_fn(decode).collect();
            assert_eq!((copies.encoded.len(), frames.len()), (0, copies.frames));
            frames
        }
    }
}

/// What can be done with the oldest frames.
#[derive(Clone, Copy, Debug)]
enum Take {
    Room(usize),
    One,
    Drop,
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in(
        sizes in prop::collection::vec(prop_oneof![0..4_usize, 250..260_usize, 1_000..70_000_usize], 0..700),
        takes in prop::collection::vec(prop_oneof![prop_oneof![0..200_usize, 0..200_000_usize].prop_map(Take::Room), Just(Take::One), Just(Take::Drop)], 1..20),
    ) {
        let (mut backlog, all) = backlog(&sizes);
        prop_assert_eq!(backlog.bytes(), sizes.iter().sum::<usize>());
        let mut out = Vec::new();
        for take in takes.iter().cycle() {
            prop_assert_eq!(backlog.len(), all.len() - out.len());
            let before = out.len();
            match take {
                Take::Room(room) => {
                    let (mut pieces, mut bytes) = (0, 0);
                    backlog.drain(*room, |piece| {
                        let found = frames(piece);
                        bytes += found.iter().map(|frame| 2 + frame.size()).sum::<usize>();
                        pieces += 1;
                        out.extend(found);
                    });
                    prop_assert!(pieces <= 1 || bytes <= *room, "{} in {}", bytes, room);
                }
                Take::One => {
                    backlog.drain_one(|piece| out.extend(frames(piece)));
                    prop_assert!(out.len() <= before + 1);
                }
                Take::Drop => {
                    out.extend(backlog.drop_oldest().then(|| all[before].clone()));
                }
            }
            if out.len() == before {
                break;
            }
        }
        prop_assert!(out == all);
        prop_assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
    }
}

#[test]
fn small_frames_are_copied_and_large_ones_shared() {
    let mut item = Some(frame(COPY_UP_TO, 1));
    let mut backlog = Backlog::default();
    backlog.push(&mut item);
    assert!(item.is_some(), "another backlog can have it too");
    item = Some(frame(COPY_UP_TO + 1, 1));
    let body = item.as_ref().map(|frame| frame.bytes().as_ptr());
    backlog.push(&mut item);
    assert!(item.is_none());
    let mut bodies = Vec::new();
    backlog.drain(usize::MAX, |piece| {
        bodies.push(match piece {
            Piece::Copies(_) => None,
            Piece::Shared(frame) => Some(frame.bytes().as_ptr()),
        });
    });
    assert_eq!(bodies, [None, body]);
}

#[test]
fn one_write_takes_no_more_than_goes_out_in_one_piece() {
    for size in [0, 60, 200, 300, 1_024, 16_384] {
        let (mut backlog, _) = backlog(&vec![size; 1_200]);
        let mut writes = 0;
        while backlog.len() > 0 {
            let mut bytes = 0;
            backlog.drain(WRITE_BYTES, |piece| {
                bytes += frames(piece).len() * (2 + size);
            });
            assert!(bytes <= WRITE_BYTES, "{bytes} of frames of {size}");
            writes += 1;
        }
        let at_once = WRITE_BYTES / (2 + size);
        assert_eq!(writes, 1_200_usize.div_ceil(at_once), "frames of {size}");
    }
}

#[test]
fn copies_take_memory_by_their_size_and_none_when_they_are_gone() {
    for count in [1, 20, 70, 300, 960] {
        let (mut backlog, _) = backlog(&vec![64; count]);
        let room = backlog.copies.encoded.capacity();
        assert!(
            room <= (5 * count * 66).max(spare::SMALL),
            "{room} for {count}"
        );
        backlog.drain(usize::MAX, |piece| {
            let bytes = 64 * count;
            let frames_of_piece = Weight {
                frames: count,
                bytes,
            };
            assert_eq!(piece.weight(), frames_of_piece);
            frames(piece);
        });
        assert_eq!(
            backlog.copies.encoded.capacity() + backlog.parts.capacity(),
            0
        );
    }
}

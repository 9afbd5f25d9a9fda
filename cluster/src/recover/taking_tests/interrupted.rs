//! A recovery that takes from another directory is cut short at every step, and said again.

use super::*;

#[test]
fn an_interrupted_taking_is_finished_by_the_next_run() {
    for steps in 1..=8 {
        let case = Case::new();
        let terms = [6, 6, 7];
        let other = case.holder(11, &terms);
        hold(&case.own, EIGHT, &[6], 1);
        hold(&other, EIGHT, &[6, 6], 1);
        let dirs = vec![other.clone()];
        let own = case.own.clone();
        with_files(&own, |log, file| {
            let was = file.identity.clone();
            let found = look(&own, log, &was, Others { dirs: &dirs, folder })?;
            stage(&found, folder)?;
            // Stands for what the end of the process leaves.
            let left = own.join("left");
            copy_folder_to(&own.join("recovering"), &left);
            if steps >= 2 {
                remember_cluster(&own, was.cluster)?;
            }
            if steps >= 3 {
                change_cluster(&own, log, file, &was)?;
            }
            if (4..6).contains(&steps) {
                file.mark(NINE, Some(GroupMark::Leaving))?;
                fs::rename(own.join("recovering/group-9"), own.join("group-9")).unwrap();
            }
            if steps == 5 {
                let entries = vec![entry(6, 6)];
                log.write(&[GroupWrite { entries, ..GroupWrite::bootstrap(NINE, PeerId(3), &[]) }])?;
            }
            if steps >= 6 {
                bring(&own, log, file, &found, folder)?;
            }
            if steps >= 7 {
                let stored = stored_groups(log)?.into_iter();
                let writes: Vec<_> = stored.map(|(group, stored)| alone(group, stored, was.store)).collect();
                log.write(&writes)?;
            }
            if steps >= 8 {
                forget_cluster(&own)?;
            }
            drop(found);
            fs::rename(left, own.join("recovering")).unwrap();
            Ok(())
        })
        .unwrap();
        let changed = plan(&own, &[]).unwrap().cluster != case.was.cluster;
        assert_eq!(changed, steps >= 3, "step {steps}");
        let has_all = plan(&own, &[]).unwrap().groups.iter().all(|group| group.problem.is_none());
        assert_eq!(has_all, steps >= 6, "step {steps}");
        // Said again. At the end, nothing is to be taken any more.
        if steps == 8 {
            let why = apply(&own, &dirs).unwrap_err().to_string();
            assert!(why.contains("without this one"), "{why}");
        }
        apply(&own, if steps == 8 { &[] } else { &dirs }).unwrap();
        goes_on(&case, 11, NINE, &terms);
        goes_on_with_eight(&case);
        assert!(plan(&own, &[]).unwrap().lost.iter().all(|(store, _)| *store == StoreId(99)));
    }
}

fn copy_folder_to(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    let logs = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("log-");
    for item in fs::read_dir(from).unwrap().map(|item| item.unwrap()).filter(|item| !logs(&item.file_name()))
    {
        let target = to.join(item.file_name());
        fs::create_dir(&target).unwrap();
        copy_folder(&item.path(), &target).unwrap();
    }
}

/// The entry that the other directory had of group eight is there.
fn goes_on_with_eight(case: &Case) {
    let last = edit(&case.own, |log| Ok(last(&log.load(EIGHT)?.unwrap())));
    assert_eq!(last, BOOTSTRAP.index + 2);
}

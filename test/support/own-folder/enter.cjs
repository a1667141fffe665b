process.chdir(process.env.LOOPPROF_TEST_FOLDER);

/* torchtar.h - the members of the tar archive that PyTorch wrote before 0.1.12. */
#ifndef SDG_FILES_TORCHTAR_H
#define SDG_FILES_TORCHTAR_H

#include "files/torchstream.h"

enum sdg_tar_member {
    SDG_TAR_STORAGES,
    SDG_TAR_TENSORS,
    SDG_TAR_PICKLE,
    SDG_TAR_SYS_INFO, /* the only one that may be missing: data is NULL then */
    SDG_TAR_MEMBERS
};

/* Takes the archive `file` apart. members are zeroed before. Errors: SDGEN_ERR_FORMAT. */
SDGEN_MUST_CHECK sdgen_status sdg_torchtar_open(struct sdg_torchstream members[SDG_TAR_MEMBERS],
                                                struct sdg_torchstream *file);

#endif

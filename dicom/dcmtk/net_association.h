/* What the halves of net.h share: the association and DCMTK's network object. Internal to this folder. */
#ifndef LAMINA_DICOM_DCMTK_NET_ASSOCIATION_H
#define LAMINA_DICOM_DCMTK_NET_ASSOCIATION_H

#include <vector>

#include "dicom/dcmtk/net_connection.h"
#include "dicom/net.h"

#include "dcmtk/dcmnet/assoc.h"

struct lam_association {
    T_ASC_Association *asc = nullptr;
    std::vector<lam_net_context> contexts; /* that were agreed */
    std::vector<uint8_t> command;          /* fragments of the command being received */
    bool timed_out = false;
};

namespace lamina
{

/* One for the process, made by lam_net_start. */
extern T_ASC_Network *network;

/* Says what the connection is made of that DCMTK makes in this thread while this lives. */
class Scope
{
  public:
    explicit Scope(Making &making)
    {
        TransportLayer::making = &making;
    }
    ~Scope()
    {
        TransportLayer::making = nullptr;
    }
};

/* DCMTK's condition as ours, by one table. */
lam_status fail_condition(lam_error *err, lam_association *association, const OFCondition &condition,
                          const char *doing);

/* Puts our implementation class UID and version into what will be sent. */
void say_who_we_are(T_ASC_Parameters *parameters);

/* Fills association->contexts from what DCMTK has as agreed. */
void collect_contexts(lam_association &association);

} // namespace lamina

#endif

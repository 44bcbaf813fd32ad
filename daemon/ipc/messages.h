/* The vocabulary of laminad and its children: one table of message types, with the JSON each carries.
 *
 * Optional members are marked `?`. A receiver ignores members it does not know and refuses (closes the socket
 * on) a type it does not know. UIDs are strings. No member may carry a path: files travel as descriptors or
 * as bare names in the spool. */
#ifndef LAMINA_DAEMON_MESSAGES_H
#define LAMINA_DAEMON_MESSAGES_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_message_type {
    /* ---- any child → laminad ---- */

    /* The child is configured and serves. {"pid"} */
    LAM_MESSAGE_READY = 1,

    /* ---- laminad ↔ lamina-dimse ---- */

    /* laminad → dimse, first message and again after a reload. fds: [listening TCP socket, spool directory,
     * then as far as `tls` has them: certificates of authorities, own certificate, its key] (none on reload).
     * {"ae_title", "accept":"known|any", "peers":[{"name","ae_title","host"}], "max_associations",
     * "max_associations_per_peer", "max_pdu", "association_timeout_ms" (ARTIM), "idle_timeout_ms",
     * "max_object_bytes", "reserve_bytes" (free space below which objects are refused), "last_association"
     * (the number from which associations are counted on, so that one in the logs is one), "private_classes"?
     * (take SOP classes outside the standard too; default false), "tls":{"ca"?,"certificate","key"}? (what of
     * it came as descriptors; the first time only)} */
    LAM_MESSAGE_CONFIGURE = 10,

    /* dimse → laminad: a whole object lies in the spool, not yet synced, as Part 10 file `name`; answer with
     * STORE_REPLY, same request. From here on the file is laminad's to keep or remove.
     * {"name","sop_class_uid","sop_instance_uid","transfer_syntax_uid","bytes","association","calling_ae","address"}
     */
    LAM_MESSAGE_STORE,

    /* laminad → dimse: the DIMSE status of the C-STORE response. 0 only after the commit (promise 1).
       {"status","comment"?} */
    LAM_MESSAGE_STORE_REPLY,

    /* dimse → laminad, event.
     * {"event":"accepted|rejected|released|aborted|failed|refused" (an object, before it came to a
     * STORE),"association","calling_ae","called_ae", "address","reason"?,"stored","failed"} */
    LAM_MESSAGE_ASSOCIATION,

    /* laminad → any child: finish what runs, take nothing new, exit 0. */
    LAM_MESSAGE_DRAIN,

    /* ---- laminad ↔ lamina-dimse that sends (a process of its own for each association) ---- */

    /* laminad → dimse: open an association and do what is asked for, in this order; each part may be absent.
     * fds: [object …, then as far as `tls` has them: certificates of authorities, own certificate, its key].
     * {"host","port","called_ae","calling_ae","timeout_ms","objects" (how many),"tls":{"ca","certificate"}?,
     *  "commit":{"transaction_uid","instances":[[class, instance] …],"wait_ms" (for its answer here)}?,
     *  "report":{"transaction_uid","committed":[[class, instance] …],"failed":[[class, instance, reason]
     * …]}?} Answers: DELIVERED for each object that was tried, COMMITMENT if it came, DELIVER_END. */
    LAM_MESSAGE_DELIVER = 20,

    /* dimse → laminad: what the peer said of one object; `status` -1: it cannot be sent there at all.
     * {"object" (index),"status","reason"} */
    LAM_MESSAGE_DELIVERED,

    /* dimse → laminad: the association is over. {"status"
     * (lam_status_name),"reason","commit":"asked|refused"?, "reported"?} */
    LAM_MESSAGE_DELIVER_END,

    /* dimse → laminad, from either process: a peer commits itself or not (N-EVENT-REPORT, PS3.4 annex J).
     * {"ae" (the peer),"transaction_uid","committed":[[class, instance] …],"failed":[[class, instance,
     * reason] …]} */
    LAM_MESSAGE_COMMITMENT,

    /* dimse → laminad: a sender asks us to commit ourselves (N-ACTION). {"calling_ae","transaction_uid",
     * "instances":[[class, instance] …]}. Answer: COMMIT_REPLY, same request. */
    LAM_MESSAGE_COMMIT,

    /* laminad → dimse: the status of the N-ACTION response and, after 0, what to report.
     * {"status","committed":[[class, instance] …]?,"failed":[[class, instance, reason] …]?} */
    LAM_MESSAGE_COMMIT_REPLY,

    /* dimse → laminad: the sender took the report over its own association. {"calling_ae","transaction_uid"}
     */
    LAM_MESSAGE_COMMIT_REPORTED,

    /* dimse (one that sends) → laminad: the peer takes this object in another transfer syntax only, one with
     * native pixels; answer with CONVERTED. {"object" (index),"transfer_syntax"} */
    LAM_MESSAGE_CONVERT,

    /* laminad → dimse: the object as a worker wrote it. fds: [object], or none with the reason. {"reason"?}
     */
    LAM_MESSAGE_CONVERTED,

    /* ---- laminad ↔ lamina-worker ---- */

    /* laminad → worker: parse the header of one Part 10 file. fds: [file]. Answer: INDEXED or FAILED. {} */
    LAM_MESSAGE_INDEX = 30,

    /* worker → laminad: the header as DICOM JSON (PS3.18 annex F; UTF-8; values over 1 KiB of binary VRs,
     * pixel data and the like left out with "BulkDataURI":"bulk/<tag path>").
     * {"transfer_syntax_uid","dataset_offset" (bytes before the data set in the file),"attributes":{…},
     *  "pixels":{as LAYOUT}?}; SOP class, SOP instance, study and series UID are present and valid. */
    LAM_MESSAGE_INDEXED,

    /* laminad → worker: start of a job. fds: [model.json, weights.safetensors, gate.safetensors?].
     * {"job","model":{"name","version","weights_sha256"},"study_uid","series_uid","inputs" (how many files
     * follow), "series":[{"role","series_uid","inputs"}]? (of a model that reads several: so many files each,
     * in this order; the first is series_uid), "input_set" (hex hash of the sorted SOP instance
     * UIDs),"device":{"manufacturer","model_name","serial","software"}, "notice" (for pictures)?,
     * "replaces"?:{"series_uid","sop_uid"} (the report over an earlier input set)} */
    LAM_MESSAGE_ANALYZE_BEGIN,

    /* laminad → worker, after BEGIN: up to LAM_IPC_MAX_FDS source files, in any order within a series. fds:
       [file …]. {} */
    LAM_MESSAGE_ANALYZE_INPUT,

    /* laminad → worker: all inputs are there; run and write. fds: one empty writable file for each of
     * `outputs`, in order.
     * {"outputs":["SEG","SR","montage","SEG@ohif"],"gate":"flag|refuse|ignore"?,
     * "explain":"integrated|gradient|attention"?}: names of daemon/worker/outputs.c, with the profile if it
     * is not the strict one; what to do with images unlike the training set. Answer: PROGRESS any number of
     * times, then DONE or FAILED. */
    LAM_MESSAGE_ANALYZE_RUN,

    /* worker → laminad: sign of life and how far.
       {"stage":"read|prepare|network|measure|explain|write","done","total"} */
    LAM_MESSAGE_PROGRESS,

    /* worker → laminad: outputs written (not synced: laminad does that).
     * {"task","timings_ms":{stage:ms},"segments":[…]?,"classification"?,"detections"?,"measurements"?,
     *  "gate":{"accepted","score","threshold","reason"?}?,"unexplained" (why there is no map)?,
     *  "objects":[{"output" (index into
     * outputs),"type":"SEG|SR|…","profile","sop_class_uid","series_uid","sop_uid", "problems":[text …] (what
     * lamina validate says; empty: fit to be sent),"index":{as INDEXED}}],
     *  "pictures":[{"output","name":"montage","media_type":"image/png"}]} */
    LAM_MESSAGE_DONE,

    /* worker → laminad: answer to INDEX or to a job. `permanent`: trying again cannot help (bad input).
     * {"status" (lam_status_name),"reason","permanent"} */
    LAM_MESSAGE_FAILED,

    /* ---- laminad ↔ lamina-worker: pixels for the HTTP side. Each is answered by PIXELS or FAILED. ---- */

    /* laminad → worker: where the frames lie in a file. fds: [object]. {}
     * Answer: {"tag" (of the pixel data, as in DICOM JSON),"vr","offset","length" (of their value, in the
     * file), "frames","frame_bits","fragments":[[frame from 0, offset, length], …]? (encapsulated, in order
     * of the frames)} */
    LAM_MESSAGE_LAYOUT = 50,

    /* laminad → worker: frames as native little endian pixels, or in the stored syntax.
     * fds: [object, output]. {"frames":[from 1 …] (none: all),"stored"?}
     * Answer: {"pieces":[[offset, length] …] (in the output, one for each frame)} */
    LAM_MESSAGE_FRAMES,

    /* laminad → worker: the object as a Part 10 file in a transfer syntax with native pixels; Explicit VR
     * Little Endian where none is named. fds: [object, output]. {"transfer_syntax"?} Answer: {"pieces":[[0,
     * length]]} */
    LAM_MESSAGE_TRANSCODE,

    /* laminad → worker: one value. fds: [object, output]. {"path":"<tag>[/<item from 0>/<tag>]…"}
     * Answer: {"pieces":[[offset, length]],"in_object" (in the object's file instead of the output)} */
    LAM_MESSAGE_VALUE,

    /* laminad → worker: a frame as a picture. fds: [object, output, related]; related is a segmentation to
     * be drawn on an image, or the image under a segmentation.
     * {"frame" (from 1; 0: one that represents the object),"media_type":"image/png|image/jpeg",
     *  "window":[centre,width]?,"function":"LINEAR|LINEAR_EXACT|SIGMOID"?,"viewport":[width,height]?,
     *  "region":[x,y,width,height]? (negative: flipped),"quality"?,"patient"?,"technique"? (written in),
     *  "alone"? (the image that it needs is not to be had)}
     * Answer: {"pieces":[[0, length]]} or, for a segmentation or presentation state without its image,
     * {"needs" (SOP instance UID)}
     */
    LAM_MESSAGE_RENDER,

    /* worker → laminad: the answer to one of the above. */
    LAM_MESSAGE_PIXELS,

    /* ---- laminad ↔ lamina-worker: archives that come by HTTP. Answer: UNPACKED or FAILED. ---- */

    /* laminad → worker: take this zip archive. fds: [archive].
     * {"files","bytes","file_bytes","ratio"}: the limits of daemon/worker/unpack.h. Answer: {"bytes" (of all
     * files, unpacked)} */
    LAM_MESSAGE_UNPACK = 65,

    /* laminad → worker: go on with it. fds: [empty writable file …], one for each object that is found.
     * {} Answer: {"files":[{"name","output" (which)} | {"name","ignored" (why)} | {"name","failed" (why)}
     * …],"end"} */
    LAM_MESSAGE_UNPACK_NEXT,

    /* worker → laminad */
    LAM_MESSAGE_UNPACKED,
} lam_message_type;

#ifdef __cplusplus
}
#endif
#endif

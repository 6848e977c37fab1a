
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_PAGE_H_
#define PHRONY_PAGE_H_


#include "../core/phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * The status page for people: page.html as it stands beside this, and the
 * policy for browsers that lets it run its own script and style, told by
 * their hashes, and ask for its figures, and nothing else.  Both are made by
 * tools/make-page.
 */

extern const phrony_str_t  phrony_page;
extern const phrony_str_t  phrony_page_policy;


PHRONY_HIDDEN_END


#endif /* PHRONY_PAGE_H_ */

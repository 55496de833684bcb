/* theme.js - before anything is drawn: the theme that was chosen here. No module, so that nothing flashes. */
'use strict';
(() => {
    let theme = null;
    try {
        theme = localStorage.getItem('apiary-theme');
    } catch (e) {
        theme = null; /* storage may be forbidden; then the system's theme it is */
    }
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
})();
